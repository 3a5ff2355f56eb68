// SPDX-License-Identifier: Apache-2.0
//
// What AWS's own check of a Nitro Secure Module wants of it, and a few things more: every request once as it
// should be, and the refusals. Unsigned image, parent without a role, not in debug mode. The checks lock all
// 32 PCRs, so they can be made once in the life of an enclave.
#pragma once

#include <string>
#include <vector>

#include "secure_module/secure_module.hpp"

namespace alcove::probe {

struct CheckResult {
    std::string name;
    std::string detail;  // empty when it is well
    // "ok <name>" or "FAILED <name> <detail>", on one line whatever the detail is; without a newline.
    std::string to_string() const;
};

// In this order; a check that fails does not keep the later ones from being made.
using secure_module::SecureModule;

std::vector<CheckResult> check_secure_module(SecureModule& module);

CheckResult result_of(std::string name, const Result<void>& outcome);

}  // namespace alcove::probe

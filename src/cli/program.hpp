// SPDX-License-Identifier: Apache-2.0
//
// One call of `alcove`: arguments in, words out, an exit code.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/host_access.hpp"
#include "cli/output.hpp"
#include "host/capabilities.hpp"

namespace alcove::cli {

// What a caller may replace. Empty members mean the real thing.
struct ProgramParts {
    std::function<Result<std::unique_ptr<HostAccess>>(const HostSelection&, const Output&)> open_host;
    // Runs a small guest with the local KVM (paging, SSE, BMI2, a timed loop) and says what became of it.
    // Decides, with `alcove host check`, whether this machine's KVM is usable.
    std::function<host::GuestTrial()> try_guest;
    std::string kvm_device = "/dev/kvm";
};

// The host for that choice, as the environment and what is known of this machine's KVM have it.
HostSelection select_host(HostChoice choice, const ProgramParts& parts);
Result<std::unique_ptr<HostAccess>> open_chosen_host(const ProgramParts& parts,
                                                     const HostSelection& selection, const Output& output);

// `arguments` without the program's name. The exit code is an Exit, or that of a program run for the user.
int run_program(const std::vector<std::string>& arguments, const Streams& streams,
                const ProgramParts& parts = {});

}  // namespace alcove::cli

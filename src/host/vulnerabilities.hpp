// SPDX-License-Identifier: Apache-2.0
//
// What the kernel says about known CPU weaknesses and its defences, from
// /sys/devices/system/cpu/vulnerabilities (kernel documentation, admin-guide/hw-vuln).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "support/result.hpp"

namespace alcove::host {

enum class Exposure {
    NotAffected,
    Mitigated,
    Vulnerable,  // the kernel says so, or says that SMT leaves it open
    Unknown,
};

struct Vulnerability {
    std::string name;  // the file's name: "spectre_v2"
    std::string text;  // the kernel's words
    Exposure exposure = Exposure::Unknown;
};

Exposure classify_vulnerability(std::string_view kernel_text);
std::string_view to_string(Exposure exposure);

// Ascending by name. `root` as in read_host_memory(). ErrorCode::Unsupported without the directory.
Result<std::vector<Vulnerability>> read_vulnerabilities(const std::string& root = "");

}  // namespace alcove::host

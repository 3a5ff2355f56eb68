// SPDX-License-Identifier: Apache-2.0
//
// What a host has, who holds it, and what it can do, as text and JSON. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "codec/json.hpp"
#include "embedded/embedded_host.hpp"
#include "host/capabilities.hpp"
#include "host/host_memory.hpp"
#include "host/kernel_work.hpp"
#include "host/sgx.hpp"
#include "host/topology.hpp"
#include "host/vulnerabilities.hpp"

namespace alcove::cli {

// GET /v1/host as tables: memory, cores, and the ledger by owner.
std::string render_host(const codec::json::Json& host);

std::string render_embedded(const embedded::HostStatus& status, const std::string& folder);
codec::json::Json embedded_json(const embedded::HostStatus& status, const std::string& folder);

// `alcove host check`.
struct CheckReport {
    host::HostCapabilities capabilities;
    std::optional<host::Topology> topology;
    std::optional<host::HostMemory> memory;
    host::SgxHardware sgx;
    std::vector<host::Vulnerability> vulnerabilities;
    host::KernelWork kernel_work;
    bool daemon_answers = false;
    std::string choice;  // "local" or "embedded"
    std::string why;
};
std::string render_check(const CheckReport& report);
codec::json::Json check_json(const CheckReport& report);

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
//
// The answers of the HTTP API as JSON (docs/api.md). Pure; names of fields are contract.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/vmm_messages.hpp"
#include "codec/json.hpp"
#include "daemon/attestor_client.hpp"
#include "daemon/sgx_json.hpp"
#include "daemon/vm_record.hpp"
#include "host/capabilities.hpp"
#include "host/host_memory.hpp"
#include "host/ledger.hpp"
#include "host/vulnerabilities.hpp"

namespace alcove::daemon {

using codec::json::Json;

Json to_json(const VmRecord& record);
Json to_json(const Event& event);
Json to_json(const host::Grant& grant);
Json to_json(const AttestorStatus& status);

// {"error": {"code": "E91", "name": ..., "message": ..., "remedy": ...}}
Json error_json(const Error& error);
int http_status(ErrorCode code);

// Where host programs meet a VM: the sockets in the directory of its VM.
Json sockets_json(const std::string& directory);

// Everything live of one VM, as a tree.
struct Inspection {
    VmRecord record;
    std::optional<host::Grant> grant;
    std::string directory;  // of the VM, with its sockets
    std::optional<std::vector<api::vmm::StatisticsEntry>> counters;
    std::string counters_missing;    // why, when there are none
    std::vector<VmRecord> enclaves;  // of a primary VM: those that are not over
    std::optional<SgxView> sgx;      // of a VM with SGX
};
Json to_json(const Inspection& inspection);

struct HostView {
    host::Topology topology;
    host::HostMemory memory;
    host::SgxHardware sgx;
    std::vector<host::Vulnerability> vulnerabilities;
    host::Answer core_scheduling = host::Answer::NotTried;
    bool shared_policy_safe = false;
    std::vector<host::NodeAccount> account;
    std::string broker_trouble;  // empty when connected
};
Json to_json(const HostView& view);

// "2026-01-31T12:00:00.000Z"; "" for 0.
std::string iso_time(int64_t ms_since_1970);

}  // namespace alcove::daemon

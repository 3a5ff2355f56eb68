// SPDX-License-Identifier: Apache-2.0
//
// Asking alcoved for VMs of either kind: their paths, and waiting for what becomes of them.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "cli/host_access.hpp"
#include "cli/vm_view.hpp"

namespace alcove::cli {

std::string vms_path(VmKind kind);                        // "/v1/enclaves"
std::string vm_path(VmKind kind, const std::string& vm);  // "/v1/enclaves/web"
std::string vms_field(VmKind kind);                       // "enclaves": of lists in JSON

Result<std::vector<VmView>> list_vms(const ApiClient& api, VmKind kind);
Result<std::vector<VmView>> read_list(const Json& json, VmKind kind);
// The API's list as it is; of VMs with SGX that are not over also `sgx_state`, which is the `state` of GET
// .../sgx.
Result<Json> list_in_full(const ApiClient& api, VmKind kind);

// Calls back with each answer until it says that it is enough, or the time is over.
using Enough = std::function<bool(const VmView&)>;
Result<Json> follow(const ApiClient& api, VmKind kind, const std::string& id, const std::string& wait,
                    std::chrono::steady_clock::time_point deadline, const Enough& enough);

// Ends the VM as the command says, and what was attached to the embedded host for it. Gives what the API says
// of it last. Timeout.
Result<Json> stop_vm(const VmStop& command, const std::string& vm, HostAccess& host);
// Of the disks that were attached to the embedded host for this VM.
std::vector<std::string> serials_of(const VmView& view);

// An interrupted start takes back what it began: what became of it, as the error of the command.
Failure take_back(const ApiClient& api, VmKind kind, const std::string& id);
Failure interrupted(const std::string& what);

}  // namespace alcove::cli

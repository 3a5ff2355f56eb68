// SPDX-License-Identifier: Apache-2.0
//
// The bodies of POST /v1/enclaves and POST /v1/vms, checked for form: fields that are missing, of another
// kind or unknown are refused. Whether the values can be met is the supervisor's to say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/network.hpp"
#include "api/vm_role.hpp"
#include "host/units.hpp"
#include "sgx/configuration.hpp"
#include "support/result.hpp"

namespace alcove::daemon {

// A file that was handed over: by token, or in the embedded host as a disk of so many bytes.
struct FileReference {
    std::string token;  // or
    std::string disk;   // with
    uint64_t bytes = 0;
    bool read_only = true;  // of a VM's disk
};

// A network that was handed over.
struct NetworkReference {
    std::string token;
    api::NetworkKind kind = api::NetworkKind::None;
    std::optional<api::MacAddress> mac;
};

struct LaunchBody {
    std::string name;
    FileReference image;
    uint32_t vcpus = 0;
    std::vector<uint32_t> cpus;  // of the host, if they were chosen
    uint64_t memory_mib = 0;
    host::PageSize pages = host::PageSize::Size4K;
    host::CpuPolicy policy = host::CpuPolicy::Dedicated;
    bool debug = false;
    std::optional<uint64_t> cid;
    bool enclaves = false;
    std::optional<host::CpuPolicy> enclave_policy;  // nothing: the VM's own
    std::vector<FileReference> disks;
    std::vector<NetworkReference> networks;
    std::optional<sgx::Configuration> sgx;
    std::vector<LaunchBody> provisioned;  // enclaves that start with the VM
};

// {"policy": "shared"}. Errors likewise.
Result<host::CpuPolicy> parse_policy_body(std::string_view text);
// What there is for a VM of this role. ErrorCode::JsonMalformed or InvalidArgument, with the field's name.
Result<LaunchBody> parse_launch_body(std::string_view text, api::VmRole role = api::VmRole::Enclave);

}  // namespace alcove::daemon

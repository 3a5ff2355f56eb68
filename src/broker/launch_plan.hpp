// SPDX-License-Identifier: Apache-2.0
//
// What alcoved asked for, checked: everything the rest of the broker does follows from a plan, and a plan
// exists only when each of its numbers is in range. No file is touched here.
#pragma once

#include <algorithm>
#include <functional>
#include <string>

#include "api/broker_messages.hpp"
#include "api/ne_messages.hpp"
#include "support/bits.hpp"

namespace alcove::broker {

// The host CPUs of a VM: there are such CPUs, and where they are for it alone, they are whole cores.
struct CorePlan {
    api::VmId id;
    api::CpuMask host_cpus;
    bool dedicated;
};

struct LaunchPlan {
    api::VmId id;
    std::string module_id;
    api::broker::Launch numbers;  // each of them in range

    bool debug() const { return (numbers.flags & api::broker::Launch::kDebug) != 0; }
    bool primary() const { return numbers.role == static_cast<uint32_t>(api::VmRole::Primary); }
    bool carved() const { return (numbers.flags & api::broker::Launch::kCarved) != 0; }
    bool enclaves() const { return (numbers.flags & api::broker::Launch::kEnclaves) != 0; }
    bool provisioned() const { return (numbers.flags & api::broker::Launch::kProvisioned) != 0; }
    bool sgx() const { return numbers.sgx.has_root(); }  // in software
    bool spills() const { return numbers.sgx.has_spill_file(); }
    bool dedicated() const { return (numbers.flags & api::broker::Launch::kDedicated) != 0; }
    CorePlan cores() const { return {.id = id, .host_cpus = numbers.host_cpus, .dedicated = dedicated()}; }
    uint32_t vmm_uid() const {
        return api::kFirstVmmUid + numbers.vmm_slot;
    }  // its group has the same number
    // How many VMs its VMM may come to be joined with.
    uint32_t fabric_peers() const {
        return enclaves() ? api::ne::kMaxEnclaves : carved() || provisioned() ? 1 : 0;
    }
    // Of the VM's whole cgroup: guest memory, the image while it is loaded, page tables, two small processes;
    // of a carved enclave also the chunk of its primary's that its shim reserves when it gives memory back.
    // Its image comes out of its memory, and is beside it if it is large (enclave/image_room.hpp). For each
    // peer in a fabric two rings, and what waits for it. EPC is memory as RAM is, or as much of it as its
    // budget allows and a page or two for each vCPU; with it come pages of ones, page tables for each vCPU,
    // what is known of each page, and of a spill file what the kernel keeps until it is on the disk. EPC of
    // the host's processors is none of its memory.
    uint64_t memory_limit() const {
        const uint64_t image = carved() ? std::min<uint64_t>(numbers.memory_bytes, api::kMaxImageBytes)
                                        : uint64_t{numbers.image_size};
        const uint64_t memory = numbers.memory_bytes + numbers.sgx.resident_bytes();
        const uint64_t for_sgx = sgx() ? numbers.sgx.epc_bytes() / 16 + 8_MiB + numbers.vcpu_count * 1_MiB +
                                             (spills() ? 16_MiB : 0)
                                       : 0;
        return memory + memory / 64 + image + 96_MiB + fabric_peers() * 32_MiB + for_sgx;
    }
    // Threads, too. How many vCPUs a carved enclave will have is not known.
    uint32_t process_limit() const { return (carved() ? api::kMaxVcpus : uint32_t{numbers.vcpu_count}) + 64; }
};

// The threads of the core that a host CPU belongs to, itself included; an error when there is no such CPU.
using SiblingsOf = std::function<Result<api::CpuMask>(uint32_t cpu)>;

// ErrorCode::InvalidArgument says which field is wrong, and how.
Result<LaunchPlan> plan_launch(const api::broker::Launch& launch, const SiblingsOf& siblings_of);
Result<CorePlan> plan_cores(const api::broker::AssignCores& request, const SiblingsOf& siblings_of);

}  // namespace alcove::broker

// SPDX-License-Identifier: Apache-2.0
//
// What alcoved asked for, checked: everything the rest of the broker does follows from a plan, and a plan
// exists only when each of its numbers is in range. No file is touched here.
#pragma once

#include <functional>
#include <string>

#include "api/broker_messages.hpp"

namespace alcove::broker {

struct LaunchPlan {
    api::VmId id;
    std::string module_id;
    api::broker::Launch numbers;  // each of them in range

    bool debug() const { return (numbers.flags & api::broker::Launch::kDebug) != 0; }
    bool primary() const { return numbers.role == static_cast<uint32_t>(api::VmRole::Primary); }
    bool dedicated() const { return (numbers.flags & api::broker::Launch::kDedicated) != 0; }
    uint32_t vmm_uid() const {
        return api::kFirstVmmUid + numbers.vmm_slot;
    }  // its group has the same number
    // Of the VM's whole cgroup: guest memory, the image while it is loaded, page tables, two small processes.
    uint64_t memory_limit() const {
        return numbers.memory_bytes + numbers.memory_bytes / 64 + numbers.image_size + 96 * 1024 * 1024;
    }
    uint32_t process_limit() const { return numbers.vcpu_count + 64; }  // threads, too
};

// The threads of the core that a host CPU belongs to, itself included; an error when there is no such CPU.
using SiblingsOf = std::function<Result<api::CpuMask>(uint32_t cpu)>;

// ErrorCode::InvalidArgument says which field is wrong, and how.
Result<LaunchPlan> plan_launch(const api::broker::Launch& launch, const SiblingsOf& siblings_of);

}  // namespace alcove::broker

// SPDX-License-Identifier: Apache-2.0
//
// Where the vCPUs' threads run: in a group of threads that the broker made (broker/vm_folders.hpp), on the
// VM's CPUs, while all other threads of the VMM stay outside of it, on CPUs that nobody has to himself. Where
// the VM's CPUs are its alone, each vCPU has one of them: the kernel balances no load there. One whose CPU is
// taken away (its enclave has it) runs on what is left, and has its own again when that comes back: the
// kernel remembers the wish.
//
// What a VMM does here concerns its own threads alone, and is within what the kernel lets it have.
#pragma once

#include <string_view>
#include <vector>

#include "api/cpu_mask.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::vmm {

class VcpuPlaces {
  public:
    // As the broker starts a VMM.
    static constexpr int kThreadsDescriptor = 4;    // cgroup.threads of the group, to be written
    static constexpr int kPartitionDescriptor = 5;  // cpuset.cpus.partition of the group, to be read
    static constexpr std::string_view kCoresArgument = "--cores=";

    VcpuPlaces() = default;  // anywhere
    // `cores`: the host's CPUs that are siblings, "0,1/2,3". ErrorCode::InvalidArgument.
    static Result<VcpuPlaces> create(Fd threads, Fd partition, std::string_view cores);

    // Before the first vCPU begins: whether the VM has its CPUs for itself.
    Result<void> look();
    // On a vCPU's thread, before it runs the guest.
    Result<void> enter(uint32_t vcpu, uint32_t vcpus) const;

    // Such CPUs core by core, as vCPUs are numbered.
    std::vector<uint32_t> in_order(const api::CpuMask& cpus) const;
    bool are_exclusive() const { return exclusive_; }

  private:
    Fd threads_;
    Fd partition_;
    std::vector<api::CpuMask> cores_;
    bool exclusive_ = false;
};

}  // namespace alcove::vmm

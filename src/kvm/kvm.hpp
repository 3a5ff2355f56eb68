// SPDX-License-Identifier: Apache-2.0
//
// /dev/kvm as typed calls. Nothing is decided here: each member is one ioctl, or a loop that one ioctl
// needs. Refusals are ErrorCode::KvmRefused with the ioctl's name and the errno.
//
// Source: Linux Documentation/virt/kvm/api.rst, at 6.12.
#pragma once

#include <cstdint>
#include <vector>

#include <linux/kvm.h>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::kvm {

class Vm;

class Kvm {
  public:
    // Takes the descriptor of /dev/kvm, opened by whoever may; ErrorCode::KvmUnable for a foreign API
    // version.
    static Result<Kvm> create(Fd device);

    Result<int> check_extension(uint32_t capability) const;  // 0: not there
    Result<Vm> create_vm() const;
    // What this KVM can give to a guest on this processor, feature bits included that it emulates.
    Result<std::vector<kvm_cpuid_entry2>> supported_cpuid() const;
    Result<size_t> vcpu_mmap_size() const;

  private:
    explicit Kvm(Fd device) : device_(std::move(device)) {}
    Fd device_;
};

// A failed ioctl, as every member here reports it.
Failure refused(const char* request);

}  // namespace alcove::kvm

// SPDX-License-Identifier: Apache-2.0
//
// Moves a vCPU between the two guest-physical address spaces that KVM gives every VM: space 1 is in force
// while the vCPU is "in system management mode", and user space may set and clear that flag at will.
// Registers, FPU state and the local APIC stay. It is an unusual use of SMM, so it stands behind this one
// class: whatever KVM offers instead one day replaces its inside.
//
// Three things would be lost if the flags that KVM_GET_VCPU_EVENTS returned were written back: an NMI that
// came meanwhile, an INIT that is latched while the flag is set, and the mask of NMIs. Only what is meant is
// set, and the rest carried over. An INIT between the two ioctls is lost all the same: some microseconds, or
// as long as the host has the thread wait there.
//
// Source: Linux Documentation/virt/kvm/api.rst, "KVM_SET_VCPU_EVENTS", "KVM_CAP_MULTI_ADDRESS_SPACE";
// measured on Linux 6.12, KVM-AMD.
#pragma once

#include <cstdint>
#include <optional>

#include "kvm/vcpu.hpp"
#include "kvm/vm.hpp"
#include "support/result.hpp"

namespace alcove::kvm {

enum class View : uint32_t { Ordinary = 0, Protected = 1 };

// The number by which KVM knows a memory slot of that view.
constexpr uint32_t slot_of(View view, uint32_t slot) {
    return static_cast<uint32_t>(view) << 16 | slot;
}

// What interrupts the vCPU before its next instruction, as if the processor had just accepted it.
struct Delivery {
    enum class Kind : uint8_t { Nothing, Interrupt, Nmi, Exception };
    Kind kind = Kind::Nothing;
    uint8_t vector = 0;
    std::optional<uint32_t> error_code{};
    bool operator==(const Delivery&) const = default;
};

class ViewSwitch {
  public:
    // ErrorCode::KvmUnable where KVM was built without what this takes.
    static Result<void> check(const Vm& vm);
    // Once for each vCPU. `nowhere` is an address that no slot of either view covers: where RSM would look.
    static Result<void> prepare(const Vcpu& vcpu, uint64_t nowhere);

    // From the next run() on; also when the vCPU is there already.
    static Result<void> set(const Vcpu& vcpu, View view, const Delivery& delivery);
    // An NMI that was taken and could not be handled yet comes again.
    static Result<void> return_nmi(const Vcpu& vcpu);
};

}  // namespace alcove::kvm

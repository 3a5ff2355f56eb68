// SPDX-License-Identifier: Apache-2.0
#include "kvm/view_switch.hpp"

namespace alcove::kvm {

namespace {

constexpr uint32_t kMsrIa32Smbase = 0x9e;
// RSM reads its state from here on, above SMBASE.
constexpr uint64_t kSmramOffset = 0x8000;

void put(kvm_vcpu_events& events, const Delivery& delivery) {
    using Kind = Delivery::Kind;
    events.exception = {};
    events.exception.injected = delivery.kind == Kind::Exception ? 1 : 0;
    events.exception.nr = delivery.vector;
    events.exception.has_error_code = delivery.error_code ? 1 : 0;
    events.exception.error_code = delivery.error_code.value_or(0);
    events.interrupt.injected = delivery.kind == Kind::Interrupt ? 1 : 0;
    events.interrupt.nr = delivery.vector;
    events.interrupt.soft = 0;
    events.nmi.injected = delivery.kind == Kind::Nmi ? 1 : 0;
    // Taking it masks the next, until the handler's IRET.
    if (delivery.kind == Kind::Nmi) events.nmi.masked = 0;
    events.exception_has_payload = 0;
}

}  // namespace

Result<void> ViewSwitch::check(const Vm& vm) {
    const int spaces = TRY(vm.check_extension(KVM_CAP_MULTI_ADDRESS_SPACE));
    const int smm = TRY(vm.check_extension(KVM_CAP_X86_SMM));
    if (spaces < 2 || smm == 0)
        return fail(ErrorCode::KvmUnable, "this host's KVM has one address space a VM (no CONFIG_KVM_SMM)");
    return {};
}

Result<void> ViewSwitch::prepare(const Vcpu& vcpu, uint64_t nowhere) {
    return vcpu.set_msr(kMsrIa32Smbase, nowhere - kSmramOffset);
}

Result<void> ViewSwitch::set(const Vcpu& vcpu, View view, const Delivery& delivery) {
    auto events = TRY(vcpu.events());
    put(events, delivery);
    events.flags = KVM_VCPUEVENT_VALID_SMM;
    events.smi.smm = view == View::Protected ? 1 : 0;
    events.smi.pending = 0;
    events.smi.smm_inside_nmi = 0;
    return vcpu.set_events(events);  // smi.latched_init as it was
}

Result<void> ViewSwitch::return_nmi(const Vcpu& vcpu) {
    auto events = TRY(vcpu.events());
    events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
    events.nmi.pending = 1;
    events.nmi.masked = 0;
    return vcpu.set_events(events);
}

}  // namespace alcove::kvm

// SPDX-License-Identifier: Apache-2.0
#include "kvm/vcpu.hpp"

#include <cerrno>

#include <sys/ioctl.h>

#include "kvm/kvm.hpp"
#include "kvm/list_ioctl.hpp"
#include "support/checked.hpp"

namespace alcove::kvm {

static_assert(sizeof(Vcpu::XsaveState) == sizeof(XsaveBytes));

Result<Vcpu> Vcpu::create(Fd fd, size_t mmap_size) {
    auto area = TRY(Mapping::shared(fd, mmap_size));
    return Vcpu(std::move(fd), std::move(area));
}

Result<RunOutcome> Vcpu::run() {
    if (::ioctl(fd_.get(), KVM_RUN, 0UL) == 0) return RunOutcome::Exited;
    if (errno == EINTR || errno == EAGAIN) return RunOutcome::Interrupted;
    return refused("KVM_RUN");
}

void Vcpu::synchronize_registers() {
    run_area().kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
}

MutableByteView Vcpu::io_data() {
    const auto& io = run_area().io;
    const uint64_t length = uint64_t{io.size} * io.count;
    ALCOVE_CHECK(range_within<uint64_t>(io.data_offset, length, area_.size()),
                 "KVM keeps I/O data in its area");
    return area_.mutable_bytes().subspan(io.data_offset, length);
}

void Vcpu::request_exit(bool on) {
    // Read by the kernel when KVM_RUN is entered; the signal that goes with it ends one that is under way.
    __atomic_store_n(&run_area().immediate_exit, static_cast<uint8_t>(on ? 1 : 0), __ATOMIC_SEQ_CST);
}

Result<kvm_regs> Vcpu::registers() const {
    kvm_regs registers{};
    if (::ioctl(fd_.get(), KVM_GET_REGS, &registers) < 0) return refused("KVM_GET_REGS");
    return registers;
}

Result<void> Vcpu::set_registers(const kvm_regs& registers) const {
    if (::ioctl(fd_.get(), KVM_SET_REGS, &registers) < 0) return refused("KVM_SET_REGS");
    return {};
}

Result<kvm_sregs> Vcpu::special_registers() const {
    kvm_sregs registers{};
    if (::ioctl(fd_.get(), KVM_GET_SREGS, &registers) < 0) return refused("KVM_GET_SREGS");
    return registers;
}

Result<void> Vcpu::set_special_registers(const kvm_sregs& registers) const {
    if (::ioctl(fd_.get(), KVM_SET_SREGS, &registers) < 0) return refused("KVM_SET_SREGS");
    return {};
}

Result<void> Vcpu::set_cpuid(const std::vector<kvm_cpuid_entry2>& entries) const {
    if (::ioctl(fd_.get(), kSetCpuid2, encode_list(entries).data()) < 0) return refused("KVM_SET_CPUID2");
    return {};
}

Result<void> Vcpu::set_msr(uint32_t index, uint64_t value) const {
    const std::vector<kvm_msr_entry> entries{{.index = index, .reserved = 0, .data = value}};
    // The result counts the registers that were set.
    if (::ioctl(fd_.get(), kSetMsrs, encode_list(entries).data()) != 1) return refused("KVM_SET_MSRS");
    return {};
}

Result<uint64_t> Vcpu::msr(uint32_t index) const {
    const std::vector<kvm_msr_entry> entries{{.index = index, .reserved = 0, .data = 0}};
    auto list = encode_list(entries);
    if (::ioctl(fd_.get(), kGetMsrs, list.data()) != 1) return refused("KVM_GET_MSRS");
    return decode_list<kvm_msr_entry>(list).front().data;
}

Result<kvm_lapic_state> Vcpu::lapic() const {
    kvm_lapic_state state{};
    if (::ioctl(fd_.get(), KVM_GET_LAPIC, &state) < 0) return refused("KVM_GET_LAPIC");
    return state;
}

Result<void> Vcpu::set_lapic(const kvm_lapic_state& state) const {
    if (::ioctl(fd_.get(), KVM_SET_LAPIC, &state) < 0) return refused("KVM_SET_LAPIC");
    return {};
}

Result<void> Vcpu::set_fpu(const kvm_fpu& state) const {
    if (::ioctl(fd_.get(), KVM_SET_FPU, &state) < 0) return refused("KVM_SET_FPU");
    return {};
}

// struct kvm_xsave ends with an empty array, which C++ does not let be a member; see list_ioctl.hpp.
Result<Vcpu::XsaveState> Vcpu::xsave() const {
    XsaveState state{};
    if (::ioctl(fd_.get(), kGetXsave, state.data()) < 0) return refused("KVM_GET_XSAVE");
    return state;
}

Result<void> Vcpu::set_xsave(const XsaveState& state) const {
    if (::ioctl(fd_.get(), kSetXsave, state.data()) < 0) return refused("KVM_SET_XSAVE");
    return {};
}

Result<uint64_t> Vcpu::xcr0() const {
    kvm_xcrs registers{};
    if (::ioctl(fd_.get(), KVM_GET_XCRS, &registers) < 0) return refused("KVM_GET_XCRS");
    return registers.xcrs[0].value;  // XCR0 is the only one there is
}

Result<void> Vcpu::set_xcr0(uint64_t value) const {
    kvm_xcrs registers{};
    registers.nr_xcrs = 1;
    registers.xcrs[0].value = value;
    if (::ioctl(fd_.get(), KVM_SET_XCRS, &registers) < 0) return refused("KVM_SET_XCRS");
    return {};
}

Result<kvm_debugregs> Vcpu::debug_registers() const {
    kvm_debugregs registers{};
    if (::ioctl(fd_.get(), KVM_GET_DEBUGREGS, &registers) < 0) return refused("KVM_GET_DEBUGREGS");
    return registers;
}

Result<void> Vcpu::set_debug_registers(const kvm_debugregs& registers) const {
    if (::ioctl(fd_.get(), KVM_SET_DEBUGREGS, &registers) < 0) return refused("KVM_SET_DEBUGREGS");
    return {};
}

Result<void> Vcpu::set_guest_debug(const kvm_guest_debug& debug) const {
    if (::ioctl(fd_.get(), KVM_SET_GUEST_DEBUG, &debug) < 0) return refused("KVM_SET_GUEST_DEBUG");
    return {};
}

Result<void> Vcpu::enforce_paravirtual_features() const {
    kvm_enable_cap request{};
    request.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID;
    request.args[0] = 1;
    if (::ioctl(fd_.get(), KVM_ENABLE_CAP, &request) < 0) return refused("KVM_ENABLE_CAP");
    return {};
}

Result<kvm_vcpu_events> Vcpu::events() const {
    kvm_vcpu_events events{};
    if (::ioctl(fd_.get(), KVM_GET_VCPU_EVENTS, &events) < 0) return refused("KVM_GET_VCPU_EVENTS");
    return events;
}

Result<void> Vcpu::set_events(const kvm_vcpu_events& events) const {
    if (::ioctl(fd_.get(), KVM_SET_VCPU_EVENTS, &events) < 0) return refused("KVM_SET_VCPU_EVENTS");
    return {};
}

Result<uint32_t> Vcpu::mp_state() const {
    kvm_mp_state state{};
    if (::ioctl(fd_.get(), KVM_GET_MP_STATE, &state) < 0) return refused("KVM_GET_MP_STATE");
    return state.mp_state;
}

Result<void> Vcpu::set_mp_state(uint32_t state) const {
    kvm_mp_state request{.mp_state = state};
    if (::ioctl(fd_.get(), KVM_SET_MP_STATE, &request) < 0) return refused("KVM_SET_MP_STATE");
    return {};
}

}  // namespace alcove::kvm

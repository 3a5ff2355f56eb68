// SPDX-License-Identifier: Apache-2.0
#include "kvm/vcpu.hpp"

#include <cerrno>

#include <sys/ioctl.h>

#include "kvm/kvm.hpp"
#include "kvm/list_ioctl.hpp"
#include "support/checked.hpp"

namespace alcove::kvm {

Result<Vcpu> Vcpu::create(Fd fd, size_t mmap_size) {
    auto area = TRY(Mapping::shared(fd, mmap_size));
    return Vcpu(std::move(fd), std::move(area));
}

Result<RunOutcome> Vcpu::run() {
    if (::ioctl(fd_.get(), KVM_RUN, 0UL) == 0) return RunOutcome::Exited;
    if (errno == EINTR || errno == EAGAIN) return RunOutcome::Interrupted;
    return refused("KVM_RUN");
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

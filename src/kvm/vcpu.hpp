// SPDX-License-Identifier: Apache-2.0
//
// One virtual CPU of KVM's. It belongs to the thread that runs it; only request_exit() may come from others,
// together with a signal to that thread. See kvm.hpp for how calls fail.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <linux/kvm.h>

#include "support/fd.hpp"
#include "support/mapping.hpp"
#include "support/result.hpp"

namespace alcove::kvm {

enum class RunOutcome {
    Exited,       // run_area().exit_reason says why
    Interrupted,  // a signal or request_exit() came first
};

class Vcpu {
  public:
    static Result<Vcpu> create(Fd fd, size_t mmap_size);

    Result<RunOutcome> run();
    kvm_run& run_area() { return *reinterpret_cast<kvm_run*>(area_.data()); }
    // From the next return of run() on, its area has the registers (synchronized()), and what is changed
    // there and marked in kvm_dirty_regs is loaded by the next run(): no calls for either.
    void synchronize_registers();
    kvm_sync_regs& synchronized() { return run_area().s.regs; }
    // The bytes of a KVM_EXIT_IO: size x count, inside the mapping.
    MutableByteView io_data();
    void request_exit(bool on);

    Result<kvm_regs> registers() const;
    Result<void> set_registers(const kvm_regs& registers) const;
    Result<kvm_sregs> special_registers() const;
    Result<void> set_special_registers(const kvm_sregs& registers) const;
    Result<void> set_cpuid(const std::vector<kvm_cpuid_entry2>& entries) const;
    Result<void> set_msr(uint32_t index, uint64_t value) const;
    Result<uint64_t> msr(uint32_t index) const;
    Result<kvm_lapic_state> lapic() const;
    Result<void> set_lapic(const kvm_lapic_state& state) const;
    Result<void> set_fpu(const kvm_fpu& state) const;
    using XsaveState = std::array<uint8_t, 4096>;  // standard form, from its start on
    Result<XsaveState> xsave() const;
    Result<void> set_xsave(const XsaveState& state) const;
    Result<uint64_t> xcr0() const;
    Result<void> set_xcr0(uint64_t value) const;
    Result<kvm_debugregs> debug_registers() const;
    Result<void> set_debug_registers(const kvm_debugregs& registers) const;
    // Hardware breakpoints of ours, instead of the guest's: every #DB ends KVM_RUN while there are any.
    Result<void> set_guest_debug(const kvm_guest_debug& debug) const;
    // What CPUID does not offer of KVM's own (KVM_FEATURE_*) is not there: its MSRs are #GP.
    Result<void> enforce_paravirtual_features() const;
    Result<kvm_vcpu_events> events() const;
    Result<void> set_events(const kvm_vcpu_events& events) const;
    Result<uint32_t> mp_state() const;
    Result<void> set_mp_state(uint32_t state) const;

  private:
    Vcpu(Fd fd, Mapping area) : fd_(std::move(fd)), area_(std::move(area)) {}

    Fd fd_;
    Mapping area_;
};

}  // namespace alcove::kvm

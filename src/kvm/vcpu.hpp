// SPDX-License-Identifier: Apache-2.0
//
// One virtual CPU of KVM's. It belongs to the thread that runs it; only request_exit() may come from others,
// together with a signal to that thread. See kvm.hpp for how calls fail.
#pragma once

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
    // The bytes of a KVM_EXIT_IO: size x count, inside the mapping.
    MutableByteView io_data();
    void request_exit(bool on);

    Result<kvm_regs> registers() const;
    Result<void> set_registers(const kvm_regs& registers) const;
    Result<kvm_sregs> special_registers() const;
    Result<void> set_special_registers(const kvm_sregs& registers) const;
    Result<void> set_cpuid(const std::vector<kvm_cpuid_entry2>& entries) const;
    Result<void> set_msr(uint32_t index, uint64_t value) const;
    Result<kvm_lapic_state> lapic() const;
    Result<void> set_lapic(const kvm_lapic_state& state) const;
    Result<void> set_fpu(const kvm_fpu& state) const;
    Result<uint32_t> mp_state() const;
    Result<void> set_mp_state(uint32_t state) const;

  private:
    Vcpu(Fd fd, Mapping area) : fd_(std::move(fd)), area_(std::move(area)) {}

    Fd fd_;
    Mapping area_;
};

}  // namespace alcove::kvm

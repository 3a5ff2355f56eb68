// SPDX-License-Identifier: Apache-2.0
//
// The seam between a machine and what gives it SGX: software (sgx_vm.hpp), or the host's processors
// (sgx_hardware/hardware_sgx.hpp). A machine asks for memory slots, CPUID and what each vCPU needs; who runs
// the enclaves is not its business.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <linux/kvm.h>

#include "cpu/exit_handler.hpp"
#include "kvm/vm.hpp"
#include "memory/guest_address.hpp"

namespace alcove::sgx_vm {

class SgxBackend {
  public:
    virtual ~SgxBackend() = default;

    // Where EPC lies, in the order of CPUID.
    virtual const std::vector<memory::GuestRange>& sections() const = 0;
    // For KVM. In the ordinary view there is one for each section, numbered from `first` on.
    virtual std::vector<kvm::MemorySlot> slots(uint32_t first) const = 0;
    // The guest's CPUID; `supported` is KVM's.
    virtual void extend_cpuid(std::vector<kvm_cpuid_entry2>& entries,
                              std::span<const kvm_cpuid_entry2> supported) = 0;
    // After extend_cpuid(), of a vCPU that has its CPUID and has not run; it outlives the handler, as this
    // does. Null: nobody looks at its exits.
    virtual Result<std::unique_ptr<cpu::ExitHandler>> make_vcpu(kvm::Vcpu& vcpu, uint32_t index) = 0;
    // All EPC is lost at once, as after a change of machines: enclaves are no more, and who enters one meets
    // a fault. While all vCPUs are parked. ErrorCode::Busy: the host kept some of it, and the machine goes on
    // with that; after any other error it can not.
    virtual Result<void> drop() = 0;
};

}  // namespace alcove::sgx_vm

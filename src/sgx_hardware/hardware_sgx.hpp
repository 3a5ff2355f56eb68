// SPDX-License-Identifier: Apache-2.0
//
// SGX of the host's processors for one VM: KVM runs the enclaves, and this gives it what it needs before the
// first instruction. Nothing of what they do is seen here.
//
// It was written from the kernel's documentation and source and has run against a fake of its system calls
// only: no machine of ours has such processors.
//
// Sources: Linux 6.12, arch/x86/kvm/vmx/sgx.c, arch/x86/kernel/cpu/sgx/virt.c; hardware_calls.hpp.
#pragma once

#include "sgx/configuration.hpp"
#include "sgx/sections.hpp"
#include "sgx_hardware/virtual_epc.hpp"
#include "sgx_vm/sgx_backend.hpp"

namespace alcove::sgx_hardware {

struct HardwarePlan {
    sgx::Configuration configuration;  // that passes sgx::check_for_hardware()
    std::vector<Fd> epc{};             // /dev/sgx_vepc, opened for each section anew
    Fd provision{};                    // /dev/sgx_provision, where the configuration has the provisioning key
};

class HardwareSgx : public sgx_vm::SgxBackend {
  public:
    // `supported` is KVM's CPUID. `calls` outlives this. Errors: MachineConfig, KvmUnable, Unsupported, those
    // of VirtualEpc and of the calls; all of the plan is given back then.
    static Result<std::unique_ptr<HardwareSgx>> create(HardwareCalls& calls, const kvm::Vm& vm,
                                                       HardwarePlan plan, sgx::Sections sections,
                                                       std::span<const kvm_cpuid_entry2> supported);

    const std::vector<memory::GuestRange>& sections() const override { return sections_.ranges(); }
    std::vector<kvm::MemorySlot> slots(uint32_t first) const override;
    void extend_cpuid(std::vector<kvm_cpuid_entry2>& entries,
                      std::span<const kvm_cpuid_entry2> supported) override;
    // Sets the registers of SGX as firmware does, IA32_FEATURE_CONTROL locked. Never a handler.
    Result<std::unique_ptr<cpu::ExitHandler>> make_vcpu(kvm::Vcpu& vcpu, uint32_t index) override;
    Result<void> drop() override { return epc_.remove_all(); }

  private:
    HardwareSgx(HardwareCalls& calls, sgx::Sections sections, sgx::Features features, VirtualEpc epc)
        : calls_(calls),
          sections_(std::move(sections)),
          features_(std::move(features)),
          epc_(std::move(epc)) {}

    HardwareCalls& calls_;
    sgx::Sections sections_;
    sgx::Features features_;
    VirtualEpc epc_;
};

}  // namespace alcove::sgx_hardware

// SPDX-License-Identifier: Apache-2.0
#include "sgx_hardware/hardware_sgx.hpp"

#include "sgx/processor.hpp"
#include "sgx/spec_cpuid.hpp"
#include "sgx_hardware/hardware_features.hpp"
#include "sgx_vm/cpuid_entries.hpp"

namespace alcove::sgx_hardware {

Result<std::unique_ptr<HardwareSgx>> HardwareSgx::create(HardwareCalls& calls, const kvm::Vm& vm,
                                                         HardwarePlan plan, sgx::Sections sections,
                                                         std::span<const kvm_cpuid_entry2> supported) {
    TRY(sgx::check_for_hardware(plan.configuration));
    if (plan.provision.is_open() != plan.configuration.provision_key)
        return fail(ErrorCode::MachineConfig, "sgx.provision_key and /dev/sgx_provision go together");
    auto features = TRY(hardware_features(plan.configuration, supported));
    auto epc = TRY(VirtualEpc::create(calls, std::move(plan.epc), sections.ranges()));
    if (plan.configuration.provision_key)
        TRY(calls.allow_provisioning(vm, plan.provision).context("the provisioning key"));
    return std::unique_ptr<HardwareSgx>(
        new HardwareSgx(calls, std::move(sections), std::move(features), std::move(epc)));
}

std::vector<kvm::MemorySlot> HardwareSgx::slots(uint32_t first) const {
    std::vector<kvm::MemorySlot> slots;
    for (size_t i = 0; i < sections().size(); ++i)
        slots.push_back({.slot = first++,
                         .flags = 0,
                         .guest_address = sections()[i].base.value(),
                         .size = sections()[i].size,
                         .host_address = reinterpret_cast<uint64_t>(epc_.mappings()[i].data())});
    return slots;
}

void HardwareSgx::extend_cpuid(std::vector<kvm_cpuid_entry2>& entries, std::span<const kvm_cpuid_entry2>) {
    sgx_vm::add_sgx_leaves(entries, features_, sections_);
}

// Behind KVM_SET_CPUID2, by which KVM knows what the vCPU may have of IA32_FEATURE_CONTROL.
Result<std::unique_ptr<cpu::ExitHandler>> HardwareSgx::make_vcpu(kvm::Vcpu& vcpu, uint32_t index) {
    namespace msr = sgx::msr;
    const sgx::Processor registers(index, features_);
    for (uint32_t i = 0; i < msr::kHashCount; ++i) {
        const uint32_t hash = msr::IA32_SGXLEPUBKEYHASH0 + i;
        TRY(calls_.set_msr(vcpu, hash, *registers.read_msr(hash)).context("IA32_SGXLEPUBKEYHASH"));
    }
    TRY(calls_.set_msr(vcpu, msr::IA32_FEATURE_CONTROL, *registers.read_msr(msr::IA32_FEATURE_CONTROL))
            .context("IA32_FEATURE_CONTROL"));
    return std::unique_ptr<cpu::ExitHandler>();
}

}  // namespace alcove::sgx_hardware

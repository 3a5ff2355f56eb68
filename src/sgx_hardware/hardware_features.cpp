// SPDX-License-Identifier: Apache-2.0
#include "sgx_hardware/hardware_features.hpp"

#include <algorithm>

#include "sgx/spec_cpuid.hpp"

namespace alcove::sgx_hardware {

namespace {

// All zero if it is not there.
kvm_cpuid_entry2 leaf_of(std::span<const kvm_cpuid_entry2> supported, uint32_t leaf, uint32_t subleaf) {
    const auto found = std::ranges::find_if(supported, [&](const kvm_cpuid_entry2& entry) {
        return entry.function == leaf && entry.index == subleaf;
    });
    return found != supported.end() ? *found : kvm_cpuid_entry2{};
}

constexpr uint64_t wide(uint32_t low, uint32_t high) {
    return uint64_t{high} << 32 | low;
}

}  // namespace

Result<sgx::Features> hardware_features(const sgx::Configuration& configuration,
                                        std::span<const kvm_cpuid_entry2> supported) {
    namespace cpuid = sgx::cpuid;
    const auto structured = leaf_of(supported, cpuid::kStructuredFeatures, 0);
    const auto instructions = leaf_of(supported, cpuid::kSgxLeaf, 0);
    const auto attributes = leaf_of(supported, cpuid::kSgxLeaf, 1);
    if ((structured.ebx & cpuid::SGX) == 0)
        return fail(ErrorCode::KvmUnable,
                    "this host's KVM has no SGX for VMs: it is off in firmware or in kvm_intel (sgx=1), or "
                    "there is none; sgx.backend = \"software\" needs none");
    TRY(sgx::check_abilities(configuration, {.sgx1 = (instructions.eax & cpuid::SGX1) != 0,
                                             .sgx2 = (instructions.eax & cpuid::SGX2) != 0,
                                             .launch_control = (structured.ecx & cpuid::SGX_LC) != 0}));
    const uint64_t flags = wide(attributes.eax, attributes.ebx);
    if (configuration.provision_key && (flags & sgx::attributes::PROVISIONKEY) == 0)
        return fail(ErrorCode::Unsupported,
                    "this host's KVM has no provisioning key for VMs: write sgx.provision_key = false");
    auto features = sgx::features_of(configuration, sgx::kMachineXfrm, {});
    features.miscselect &= instructions.ebx;
    features.attributes &= flags;
    features.xfrm &= wide(attributes.ecx, attributes.edx);
    features.max_enclave_size_not64 =
        static_cast<uint8_t>(cpuid::MaxEnclaveSize_Not64::get(instructions.edx));
    features.max_enclave_size_64 = static_cast<uint8_t>(cpuid::MaxEnclaveSize_64::get(instructions.edx));
    return features;
}

}  // namespace alcove::sgx_hardware

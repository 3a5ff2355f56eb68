// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/cpuid_entries.hpp"

#include <algorithm>

#include "sgx/cpuid.hpp"
#include "sgx/spec_cpuid.hpp"
#include "support/check.hpp"

namespace alcove::sgx_vm {

namespace {

constexpr uint32_t kUmip = 1U << 2;  // 7.0:ECX

template <typename Entries>
auto find(Entries& entries, uint32_t leaf) {
    return std::ranges::find_if(
        entries, [&](const kvm_cpuid_entry2& entry) { return entry.function == leaf && entry.index == 0; });
}

}  // namespace

void add_sgx_leaves(std::vector<kvm_cpuid_entry2>& entries, const sgx::Features& features,
                    const sgx::Sections& sections) {
    const auto first = find(entries, 0);
    const auto structured = find(entries, sgx::cpuid::kStructuredFeatures);
    ALCOVE_CHECK(first != entries.end() && structured != entries.end(), "every machine has leaves 0 and 7");
    first->eax = std::max(first->eax, sgx::cpuid::kSgxLeaf);
    const auto bits = sgx::structured_feature_bits(features);
    structured->ebx |= bits.ebx;
    structured->ecx |= bits.ecx;
    for (const auto& leaf : sgx::sgx_leaves(features, sections)) {
        kvm_cpuid_entry2 entry{};
        entry.function = leaf.leaf;
        entry.index = leaf.subleaf;
        entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        entry.eax = leaf.eax;
        entry.ebx = leaf.ebx;
        entry.ecx = leaf.ecx;
        entry.edx = leaf.edx;
        entries.push_back(entry);
    }
}

bool add_sgx(std::vector<kvm_cpuid_entry2>& entries, std::span<const kvm_cpuid_entry2> supported,
             const sgx::Features& features, const sgx::Sections& sections) {
    add_sgx_leaves(entries, features, sections);
    const auto kvm = find(supported, sgx::cpuid::kStructuredFeatures);
    const bool umip = kvm != supported.end() && (kvm->ecx & kUmip) != 0;
    if (umip) find(entries, sgx::cpuid::kStructuredFeatures)->ecx |= kUmip;
    return umip;
}

bool has_sysenter(std::span<const kvm_cpuid_entry2> supported) {
    constexpr uint32_t kAuth = 0x68747541;  // "Auth", of AuthenticAMD
    const auto first = find(supported, 0);
    return first == supported.end() || first->ebx != kAuth;
}

}  // namespace alcove::sgx_vm

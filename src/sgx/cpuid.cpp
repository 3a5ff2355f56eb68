// SPDX-License-Identifier: Apache-2.0
#include "sgx/cpuid.hpp"

#include "sgx/spec_cpuid.hpp"

namespace alcove::sgx {

namespace {

constexpr uint32_t low(uint64_t value) {
    return static_cast<uint32_t>(value);
}
constexpr uint32_t high(uint64_t value) {
    return static_cast<uint32_t>(value >> 32);
}

CpuidLeaf section_leaf(uint32_t subleaf, const memory::GuestRange& section) {
    return {.leaf = cpuid::kSgxLeaf,
            .subleaf = subleaf,
            .eax = (low(section.base.value()) & cpuid::kSectionLowMask) | cpuid::kSectionValid,
            .ebx = high(section.base.value()),
            .ecx = (low(section.size) & cpuid::kSectionLowMask) | cpuid::kSectionProtected,
            .edx = high(section.size)};
}

}  // namespace

CpuidLeaf structured_feature_bits(const Features& features) {
    return {.leaf = cpuid::kStructuredFeatures,
            .ebx = cpuid::SGX,
            .ecx = features.launch_hash_writable ? cpuid::SGX_LC : 0};
}

std::vector<CpuidLeaf> sgx_leaves(const Features& features, const Sections& sections) {
    const uint32_t sizes = cpuid::MaxEnclaveSize_64::put(
        cpuid::MaxEnclaveSize_Not64::put(0, features.max_enclave_size_not64), features.max_enclave_size_64);
    std::vector<CpuidLeaf> leaves;
    leaves.push_back({.leaf = cpuid::kSgxLeaf,
                      .subleaf = 0,
                      .eax = (features.sgx1 ? cpuid::SGX1 : 0) | (features.sgx2 ? cpuid::SGX2 : 0),
                      .ebx = features.miscselect,
                      .edx = sizes});
    leaves.push_back({.leaf = cpuid::kSgxLeaf,
                      .subleaf = 1,
                      .eax = low(features.attributes),
                      .ebx = high(features.attributes),
                      .ecx = low(features.xfrm),
                      .edx = high(features.xfrm)});
    uint32_t subleaf = cpuid::kFirstSection;
    for (const auto& section : sections.ranges())
        leaves.push_back(section_leaf(subleaf++, section));
    leaves.push_back({.leaf = cpuid::kSgxLeaf, .subleaf = subleaf});
    return leaves;
}

}  // namespace alcove::sgx

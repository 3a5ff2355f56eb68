// SPDX-License-Identifier: Apache-2.0
//
// What CPUID tells of a VM's SGX: additions to leaf 7, and leaf 12H whole. The maximum basic leaf has to be
// at least 12H then.
#pragma once

#include <vector>

#include "sgx/features.hpp"
#include "sgx/sections.hpp"

namespace alcove::sgx {

struct CpuidLeaf {
    uint32_t leaf = 0;
    uint32_t subleaf = 0;
    uint32_t eax = 0;
    uint32_t ebx = 0;
    uint32_t ecx = 0;
    uint32_t edx = 0;
    bool operator==(const CpuidLeaf&) const = default;
};

// Bits to set in 7.0: EBX and ECX; the rest is 0.
CpuidLeaf structured_feature_bits(const Features& features);
// 12H.0, .1, one for each section, and one that ends the list.
std::vector<CpuidLeaf> sgx_leaves(const Features& features, const Sections& sections);

}  // namespace alcove::sgx

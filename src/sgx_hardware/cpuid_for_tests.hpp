// SPDX-License-Identifier: Apache-2.0
//
// For this folder's tests: what KVM says it gives of a processor with SGX2 and launch control.
#pragma once

#include <vector>

#include <linux/kvm.h>

namespace alcove::sgx_hardware {

inline kvm_cpuid_entry2 cpuid_entry(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx,
                                    uint32_t edx) {
    kvm_cpuid_entry2 entry{};
    entry.function = leaf;
    entry.index = subleaf;
    entry.eax = eax;
    entry.ebx = ebx;
    entry.ecx = ecx;
    entry.edx = edx;
    return entry;
}

// Attributes DEBUG, MODE64BIT, PROVISIONKEY, EINITTOKEN_KEY, KSS; XFRM up to AVX-512; enclaves up to 2^56.
inline std::vector<kvm_cpuid_entry2> supported_cpuid() {
    return {cpuid_entry(0, 0, 0x1f, 0, 0, 0), cpuid_entry(7, 0, 2, 1U << 2 | 1U << 3, 1U << 30 | 1U << 2, 0),
            cpuid_entry(7, 1, 0, 0, 0, 0), cpuid_entry(0x12, 0, 3, 1, 0, 0x381f),
            cpuid_entry(0x12, 1, 0xb6, 0, 0xe7, 0)};
}

}  // namespace alcove::sgx_hardware

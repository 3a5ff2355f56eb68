// SPDX-License-Identifier: Apache-2.0
//
// What CPUID tells a guest of machine version 1. It is fixed, not the host's, so that a saved machine finds
// the same processor wherever it wakes: x86-64-v3 with AES, PCLMULQDQ, RDRAND, RDSEED, ADX, SMEP, SMAP,
// FSGSBASE and CLFLUSHOPT. What follows the host: the vendor, which KVM cannot hide, and with it the family
// and model (one for each vendor) and the leaves that only one of them has; the bits that only tell of
// mitigations for processor bugs (hiding them would make a guest slower or less safe); KVM's signature. A
// host that lacks a bit of the baseline is refused with the bit's name.
//
// Sources: SDM vol. 2A, "CPUID"; APM vol. 3, appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <linux/kvm.h>

#include "support/result.hpp"

namespace alcove::cpu {

struct Topology {
    uint32_t vcpu_count;            // APIC ids 0 .. count - 1, in one package
    uint32_t threads_per_core = 1;  // 2 only where host threads behind the vCPUs are siblings
};

// The entries for every vCPU; cpuid_for() puts one vCPU's APIC id in. ErrorCode::KvmUnable when the host
// lacks something.
Result<std::vector<kvm_cpuid_entry2>> make_cpuid_baseline(std::span<const kvm_cpuid_entry2> supported,
                                                          Topology topology);
std::vector<kvm_cpuid_entry2> cpuid_for(std::vector<kvm_cpuid_entry2> baseline, uint32_t apic_id);

}  // namespace alcove::cpu

// SPDX-License-Identifier: Apache-2.0
//
// SGX in the CPUID of a guest: what sgx/cpuid.hpp says, in KVM's form.
#pragma once

#include <span>
#include <vector>

#include <linux/kvm.h>

#include "sgx/features.hpp"
#include "sgx/sections.hpp"

namespace alcove::sgx_vm {

// The maximum basic leaf, leaf 7's bits and leaf 12H whole. Entries 0 and 7.0 are there.
void add_sgx_leaves(std::vector<kvm_cpuid_entry2>& entries, const sgx::Features& features,
                    const sgx::Sections& sections);

// Of SGX in software. Also UMIP where KVM has it, which instructions that enclaves may not use depend on;
// says whether.
bool add_sgx(std::vector<kvm_cpuid_entry2>& entries, std::span<const kvm_cpuid_entry2> supported,
             const sgx::Features& features, const sgx::Sections& sections);

// 64-bit code can execute SYSENTER on this host: AMD's processors have it in legacy mode only (APM vol. 3,
// "SYSENTER"). Unknown ones are taken to have it.
bool has_sysenter(std::span<const kvm_cpuid_entry2> supported);

}  // namespace alcove::sgx_vm

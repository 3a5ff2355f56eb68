// SPDX-License-Identifier: Apache-2.0
//
// The registers whose accesses come to us: those of SGX, and writes of IA32_LSTAR. The last is no business of
// ours: every kernel sets it once on each processor, soon after its IDT, and then we know where the #UD
// handler is before a processor that never leaves the guest otherwise executes its first ENCLS.
#pragma once

#include <array>

#include "kvm/vm.hpp"
#include "sgx/spec_cpuid.hpp"

namespace alcove::sgx_vm {

inline constexpr uint32_t kLstar = 0xc000'0082;

inline constexpr uint32_t kReadAndWrite = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
inline constexpr std::array<kvm::Vm::MsrRange, 4> kTrappedMsrs = {{
    {.first = sgx::msr::IA32_FEATURE_CONTROL, .count = 1, .accesses = kReadAndWrite},
    {.first = sgx::msr::IA32_SGXLEPUBKEYHASH0, .count = sgx::msr::kHashCount, .accesses = kReadAndWrite},
    {.first = sgx::msr::IA32_SGX_SVN_STATUS, .count = 1, .accesses = kReadAndWrite},
    {.first = kLstar, .count = 1, .accesses = KVM_MSR_FILTER_WRITE},
}};

}  // namespace alcove::sgx_vm

// SPDX-License-Identifier: Apache-2.0
//
// The processor of a VM with EPC of the host's: what it was asked for with, as far as KVM gives it. Pure.
#pragma once

#include <span>

#include <linux/kvm.h>

#include "sgx/configuration.hpp"

namespace alcove::sgx_hardware {

// `supported` is KVM_GET_SUPPORTED_CPUID's answer: its leaf 12H is what KVM lets a guest have of the host's.
// ErrorCode::KvmUnable when KVM gives no SGX, Unsupported when less than was asked for.
Result<sgx::Features> hardware_features(const sgx::Configuration& configuration,
                                        std::span<const kvm_cpuid_entry2> supported);

}  // namespace alcove::sgx_hardware

// SPDX-License-Identifier: Apache-2.0
#include "sgx/processor.hpp"

#include "sgx/spec_cpuid.hpp"

namespace alcove::sgx {

// There is no firmware to lock IA32_FEATURE_CONTROL, so it is locked from the first instruction.
std::optional<uint64_t> Processor::read_msr(uint32_t index) const {
    if (index == msr::IA32_FEATURE_CONTROL)
        return feature_control::LOCK | feature_control::SGX_ENABLE |
               (launch_hash_writable_ ? feature_control::SGX_LC : 0);
    if (index == msr::IA32_SGX_SVN_STATUS) return 0;
    if (index - msr::IA32_SGXLEPUBKEYHASH0 < msr::kHashCount)
        return launch_hash_.at(index - msr::IA32_SGXLEPUBKEYHASH0);
    return std::nullopt;
}

bool Processor::write_msr(uint32_t index, uint64_t value) {
    if (index - msr::IA32_SGXLEPUBKEYHASH0 >= msr::kHashCount || !launch_hash_writable_) return false;
    launch_hash_.at(index - msr::IA32_SGXLEPUBKEYHASH0) = value;
    return true;
}

}  // namespace alcove::sgx

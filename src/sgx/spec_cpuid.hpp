// SPDX-License-Identifier: Apache-2.0
//
// How a processor says what SGX it has: CPUID leaves 7 and 12H, and the model-specific registers.
//
// Sources: SDM vol. 3D, "Discovering Support for Intel SGX"; SDM vol. 4, "IA-32 Architectural MSRs".
#pragma once

#include <cstdint>

#include "support/bits.hpp"

namespace alcove::sgx {

namespace cpuid {
inline constexpr uint32_t kStructuredFeatures = 0x7;
inline constexpr uint32_t SGX = bit<uint32_t>(2);      // 7.0:EBX
inline constexpr uint32_t SGX_LC = bit<uint32_t>(30);  // 7.0:ECX

inline constexpr uint32_t kSgxLeaf = 0x12;
inline constexpr uint32_t SGX1 = bit<uint32_t>(0);  // 12H.0:EAX
inline constexpr uint32_t SGX2 = bit<uint32_t>(1);
using MaxEnclaveSize_Not64 = Field<uint32_t, 7, 0>;  // 12H.0:EDX, powers of two
using MaxEnclaveSize_64 = Field<uint32_t, 15, 8>;

// 12H.n, n >= 2.
inline constexpr uint32_t kFirstSection = 2;
inline constexpr uint32_t kSectionValid = 1;      // EAX[3:0]
inline constexpr uint32_t kSectionProtected = 1;  // ECX[3:0]: confidentiality and integrity
inline constexpr uint32_t kSectionLowMask = 0xffff'f000;
}  // namespace cpuid

namespace msr {
inline constexpr uint32_t IA32_FEATURE_CONTROL = 0x3a;
inline constexpr uint32_t IA32_SGXLEPUBKEYHASH0 = 0x8c;  // to 0x8f
inline constexpr uint32_t kHashCount = 4;
inline constexpr uint32_t IA32_SGX_SVN_STATUS = 0x500;
}  // namespace msr

namespace feature_control {
inline constexpr uint64_t LOCK = bit<uint64_t>(0);
inline constexpr uint64_t SGX_LC = bit<uint64_t>(17);  // the hash registers can be written
inline constexpr uint64_t SGX_ENABLE = bit<uint64_t>(18);
}  // namespace feature_control

}  // namespace alcove::sgx

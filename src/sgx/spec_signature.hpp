// SPDX-License-Identifier: Apache-2.0
//
// What signers make: SIGSTRUCT, by which an enclave's author vouches for it, and EINITTOKEN, by which a
// launch enclave permits it. See spec.hpp for the source.
#pragma once

#include "sgx/spec_enclave.hpp"

namespace alcove::sgx {

using Number3072 = std::array<uint8_t, 384>;  // little-endian, as it lies in the structure

// "Enclave Signature Structure (SIGSTRUCT)", page-aligned. What is signed is `first` and `second`, one behind
// the other.
struct SIGSTRUCT {
    static constexpr size_t kFirstSigned = 128;   // bytes 0 to 127
    static constexpr size_t kSecondSigned = 900;  // bytes 900 to 1027
    static constexpr size_t kSecondSignedSize = 128;
    static constexpr std::array<uint8_t, 16> kHeader{6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
    static constexpr std::array<uint8_t, 16> kHeader2{1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0};
    static constexpr uint32_t kVendorIntel = 0x8086;
    static constexpr uint32_t kExponent = 3;

    std::array<uint8_t, 16> HEADER;        // 0
    Le32 VENDOR;                           // 16
    Le32 DATE;                             // 20   BCD yyyymmdd; not checked
    std::array<uint8_t, 16> HEADER2;       // 24
    Le32 SWDEFINED;                        // 40
    std::array<uint8_t, 84> RESERVED1;     // 44
    Number3072 MODULUS;                    // 128
    Le32 EXPONENT;                         // 512
    Number3072 SIGNATURE;                  // 516
    Le32 MISCSELECT;                       // 900
    Le32 MISCMASK;                         // 904
    std::array<uint8_t, 4> RESERVED2;      // 908
    std::array<uint8_t, 16> ISVFAMILYID;   // 912
    sgx::ATTRIBUTES ATTRIBUTES;            // 928
    sgx::ATTRIBUTES ATTRIBUTEMASK;         // 944
    Measurement ENCLAVEHASH;               // 960
    std::array<uint8_t, 16> RESERVED3;     // 992
    std::array<uint8_t, 16> ISVEXTPRODID;  // 1008
    Le16 ISVPRODID;                        // 1024
    Le16 ISVSVN;                           // 1026
    std::array<uint8_t, 12> RESERVED4;     // 1028
    Number3072 Q1;                         // 1040
    Number3072 Q2;                         // 1424
};
static_assert(sizeof(SIGSTRUCT) == 1808 && alignof(SIGSTRUCT) == 1);
static_assert(offsetof(SIGSTRUCT, MODULUS) == 128 && offsetof(SIGSTRUCT, EXPONENT) == 512);
static_assert(offsetof(SIGSTRUCT, SIGNATURE) == 516 && offsetof(SIGSTRUCT, MISCSELECT) == 900);
static_assert(offsetof(SIGSTRUCT, ISVFAMILYID) == 912 && offsetof(SIGSTRUCT, ATTRIBUTES) == 928);
static_assert(offsetof(SIGSTRUCT, ENCLAVEHASH) == 960 && offsetof(SIGSTRUCT, ISVEXTPRODID) == 1008);
static_assert(offsetof(SIGSTRUCT, ISVPRODID) == 1024 && offsetof(SIGSTRUCT, RESERVED4) == 1028);
static_assert(offsetof(SIGSTRUCT, Q1) == 1040 && offsetof(SIGSTRUCT, Q2) == 1424);

// "EINIT Token Structure (EINITTOKEN)", 512-byte aligned. The MAC is over the first kMaced bytes.
struct EINITTOKEN {
    static constexpr uint64_t kAlignment = 512;
    static constexpr uint32_t kValid = 1;  // VALID
    static constexpr size_t kMaced = 192;

    Le32 VALID;                          // 0
    std::array<uint8_t, 44> RESERVED1;   // 4
    sgx::ATTRIBUTES ATTRIBUTES;          // 48
    Measurement MRENCLAVE;               // 64
    std::array<uint8_t, 32> RESERVED2;   // 96
    Measurement MRSIGNER;                // 128
    std::array<uint8_t, 32> RESERVED3;   // 160
    std::array<uint8_t, 16> CPUSVNLE;    // 192
    Le16 ISVPRODIDLE;                    // 208
    Le16 ISVSVNLE;                       // 210
    std::array<uint8_t, 24> RESERVED4;   // 212
    Le32 MASKEDMISCSELECTLE;             // 236
    sgx::ATTRIBUTES MASKEDATTRIBUTESLE;  // 240
    std::array<uint8_t, 32> KEYID;       // 256
    std::array<uint8_t, 16> MAC;         // 288
};
static_assert(sizeof(EINITTOKEN) == 304 && offsetof(EINITTOKEN, ATTRIBUTES) == 48);
static_assert(offsetof(EINITTOKEN, CPUSVNLE) == EINITTOKEN::kMaced &&
              offsetof(EINITTOKEN, ISVPRODIDLE) == 208);
static_assert(offsetof(EINITTOKEN, MASKEDMISCSELECTLE) == 236 && offsetof(EINITTOKEN, KEYID) == 256);
static_assert(offsetof(EINITTOKEN, MAC) == 288);

}  // namespace alcove::sgx

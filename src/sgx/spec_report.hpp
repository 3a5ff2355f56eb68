// SPDX-License-Identifier: Apache-2.0
//
// What an enclave asks the processor for: keys and reports. See spec.hpp for the source.
#pragma once

#include "sgx/spec_enclave.hpp"

namespace alcove::sgx {

using Key128 = std::array<uint8_t, 16>;
using KeyId = std::array<uint8_t, 32>;

// "Key Request (KEYREQUEST)", KEYNAME.
enum class KeyName : uint16_t {
    EINITTOKEN_KEY = 0,
    PROVISION_KEY = 1,
    PROVISION_SEAL_KEY = 2,
    REPORT_KEY = 3,
    SEAL_KEY = 4,
};

namespace keypolicy {
inline constexpr uint16_t MRENCLAVE = bit<uint16_t>(0);
inline constexpr uint16_t MRSIGNER = bit<uint16_t>(1);
inline constexpr uint16_t NOISVPRODID = bit<uint16_t>(2);
inline constexpr uint16_t CONFIGID = bit<uint16_t>(3);
inline constexpr uint16_t ISVFAMILYID = bit<uint16_t>(4);
inline constexpr uint16_t ISVEXTPRODID = bit<uint16_t>(5);
inline constexpr uint16_t kOfKss = NOISVPRODID | CONFIGID | ISVFAMILYID | ISVEXTPRODID;
inline constexpr uint16_t kKnown = MRENCLAVE | MRSIGNER | kOfKss;
}  // namespace keypolicy

// 512-byte aligned; the key that comes back is 16-byte aligned.
struct KEYREQUEST {
    static constexpr uint64_t kAlignment = 512;

    Le16 KEYNAME;                        // 0
    Le16 KEYPOLICY;                      // 2
    Le16 ISVSVN;                         // 4
    std::array<uint8_t, 2> RESERVED1;    // 6
    std::array<uint8_t, 16> CPUSVN;      // 8
    ATTRIBUTES ATTRIBUTEMASK;            // 24
    KeyId KEYID;                         // 40
    Le32 MISCMASK;                       // 72
    Le16 CONFIGSVN;                      // 76
    std::array<uint8_t, 434> RESERVED2;  // 78
};
static_assert(sizeof(KEYREQUEST) == 512 && offsetof(KEYREQUEST, CPUSVN) == 8);
static_assert(offsetof(KEYREQUEST, ATTRIBUTEMASK) == 24 && offsetof(KEYREQUEST, KEYID) == 40);
static_assert(offsetof(KEYREQUEST, MISCMASK) == 72 && offsetof(KEYREQUEST, RESERVED2) == 78);

// "Report Target Info (TARGETINFO)", 512-byte aligned.
struct TARGETINFO {
    static constexpr uint64_t kAlignment = 512;

    Measurement MEASUREMENT;             // 0
    sgx::ATTRIBUTES ATTRIBUTES;          // 32
    std::array<uint8_t, 2> RESERVED1;    // 48
    Le16 CONFIGSVN;                      // 50
    Le32 MISCSELECT;                     // 52
    std::array<uint8_t, 8> RESERVED2;    // 56
    std::array<uint8_t, 64> CONFIGID;    // 64
    std::array<uint8_t, 384> RESERVED3;  // 128
};
static_assert(sizeof(TARGETINFO) == 512 && offsetof(TARGETINFO, ATTRIBUTES) == 32);
static_assert(offsetof(TARGETINFO, CONFIGSVN) == 50 && offsetof(TARGETINFO, MISCSELECT) == 52);
static_assert(offsetof(TARGETINFO, CONFIGID) == 64 && offsetof(TARGETINFO, RESERVED3) == 128);

struct REPORTDATA {
    static constexpr uint64_t kAlignment = 128;

    std::array<uint8_t, 64> bytes;
};
static_assert(sizeof(REPORTDATA) == 64);

// "REPORT", 512-byte aligned. The MAC is over the first kMaced bytes.
struct REPORT {
    static constexpr uint64_t kAlignment = 512;
    static constexpr size_t kMaced = 384;

    std::array<uint8_t, 16> CPUSVN;        // 0
    Le32 MISCSELECT;                       // 16
    std::array<uint8_t, 12> RESERVED1;     // 20
    std::array<uint8_t, 16> ISVEXTPRODID;  // 32
    sgx::ATTRIBUTES ATTRIBUTES;            // 48
    Measurement MRENCLAVE;                 // 64
    std::array<uint8_t, 32> RESERVED2;     // 96
    Measurement MRSIGNER;                  // 128
    std::array<uint8_t, 32> RESERVED3;     // 160
    std::array<uint8_t, 64> CONFIGID;      // 192
    Le16 ISVPRODID;                        // 256
    Le16 ISVSVN;                           // 258
    Le16 CONFIGSVN;                        // 260
    std::array<uint8_t, 42> RESERVED4;     // 262
    std::array<uint8_t, 16> ISVFAMILYID;   // 304
    sgx::REPORTDATA REPORTDATA;            // 320
    KeyId KEYID;                           // 384
    std::array<uint8_t, 16> MAC;           // 416
};
static_assert(sizeof(REPORT) == 432 && offsetof(REPORT, ISVEXTPRODID) == 32 &&
              offsetof(REPORT, ATTRIBUTES) == 48);
static_assert(offsetof(REPORT, MRSIGNER) == 128 && offsetof(REPORT, CONFIGID) == 192);
static_assert(offsetof(REPORT, ISVPRODID) == 256 && offsetof(REPORT, RESERVED4) == 262);
static_assert(offsetof(REPORT, ISVFAMILYID) == 304 && offsetof(REPORT, REPORTDATA) == 320);
static_assert(offsetof(REPORT, KEYID) == REPORT::kMaced && offsetof(REPORT, MAC) == 416);

}  // namespace alcove::sgx

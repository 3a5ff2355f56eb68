// SPDX-License-Identifier: Apache-2.0
//
// SECS, TCS and the state save area: what an enclave and its threads are. See spec.hpp for the source.
#pragma once

#include "sgx/spec.hpp"

namespace alcove::sgx {

// "ATTRIBUTES": 64 bits of flags and XFRM, which has XCR0's layout.
namespace attributes {
inline constexpr uint64_t INIT = bit<uint64_t>(0);
inline constexpr uint64_t DEBUG = bit<uint64_t>(1);
inline constexpr uint64_t MODE64BIT = bit<uint64_t>(2);
inline constexpr uint64_t PROVISIONKEY = bit<uint64_t>(4);
inline constexpr uint64_t EINITTOKEN_KEY = bit<uint64_t>(5);
inline constexpr uint64_t KSS = bit<uint64_t>(7);
}  // namespace attributes

struct ATTRIBUTES {
    Le64 FLAGS;  // 0
    Le64 XFRM;   // 8
    bool operator==(const ATTRIBUTES&) const = default;
};
static_assert(sizeof(ATTRIBUTES) == 16);

// "MISCSELECT".
namespace miscselect {
inline constexpr uint32_t EXINFO = bit<uint32_t>(0);
}

// XCR0 (SDM vol. 1, "Enabling the XSAVE Feature Set").
namespace xcr0 {
inline constexpr uint64_t X87 = bit<uint64_t>(0);
inline constexpr uint64_t SSE = bit<uint64_t>(1);
inline constexpr uint64_t AVX = bit<uint64_t>(2);
}  // namespace xcr0

using Measurement = std::array<uint8_t, 32>;

// "SGX Enclave Control Structure (SECS)". CET fields are reserved: CET in enclaves is not offered.
struct SECS {
    Le64 SIZE;                            // 0
    Le64 BASEADDR;                        // 8
    Le32 SSAFRAMESIZE;                    // 16  pages
    Le32 MISCSELECT;                      // 20
    std::array<uint8_t, 24> RESERVED1;    // 24
    sgx::ATTRIBUTES ATTRIBUTES;           // 48
    Measurement MRENCLAVE;                // 64
    std::array<uint8_t, 32> RESERVED2;    // 96
    Measurement MRSIGNER;                 // 128
    std::array<uint8_t, 32> RESERVED3;    // 160
    std::array<uint8_t, 64> CONFIGID;     // 192
    Le16 ISVPRODID;                       // 256
    Le16 ISVSVN;                          // 258
    Le16 CONFIGSVN;                       // 260
    std::array<uint8_t, 3834> RESERVED4;  // 262
};
static_assert(sizeof(SECS) == kPageSize && alignof(SECS) == 1);
static_assert(offsetof(SECS, SSAFRAMESIZE) == 16 && offsetof(SECS, MISCSELECT) == 20);
static_assert(offsetof(SECS, ATTRIBUTES) == 48 && offsetof(SECS, MRENCLAVE) == 64);
static_assert(offsetof(SECS, MRSIGNER) == 128 && offsetof(SECS, CONFIGID) == 192);
static_assert(offsetof(SECS, ISVPRODID) == 256 && offsetof(SECS, CONFIGSVN) == 260);
static_assert(offsetof(SECS, RESERVED4) == 262);

// "Thread Control Structure (TCS)". STATE, CSSA and AEP are the processor's.
struct TCS {
    static constexpr uint64_t DBGOPTIN = bit<uint64_t>(0);  // FLAGS
    static constexpr uint64_t kEnd = 72;                    // what EDBGRD may read

    Le64 STATE;                          // 0   1: some processor is inside through it
    Le64 FLAGS;                          // 8
    Le64 OSSA;                           // 16  offset of the state save area
    Le32 CSSA;                           // 24  its current frame
    Le32 NSSA;                           // 28  how many frames there are
    Le64 OENTRY;                         // 32  offset of the entry point
    Le64 AEP;                            // 40  where an asynchronous exit goes
    Le64 OFSBASE;                        // 48
    Le64 OGSBASE;                        // 56
    Le32 FSLIMIT;                        // 64
    Le32 GSLIMIT;                        // 68
    std::array<uint8_t, 4024> RESERVED;  // 72
};
static_assert(sizeof(TCS) == kPageSize && alignof(TCS) == 1);
static_assert(offsetof(TCS, FLAGS) == 8 && offsetof(TCS, OSSA) == 16 && offsetof(TCS, CSSA) == 24);
static_assert(offsetof(TCS, NSSA) == 28 && offsetof(TCS, OENTRY) == 32 && offsetof(TCS, AEP) == 40);
static_assert(offsetof(TCS, OFSBASE) == 48 && offsetof(TCS, FSLIMIT) == 64);
static_assert(offsetof(TCS, RESERVED) == TCS::kEnd);

// "EXITINFO Vector Information".
namespace exitinfo {
using VECTOR = Field<uint32_t, 7, 0>;
using EXIT_TYPE = Field<uint32_t, 10, 8>;
inline constexpr uint32_t VALID = bit<uint32_t>(31);
inline constexpr uint32_t kHardwareException = 3;
inline constexpr uint32_t kSoftwareException = 6;
}  // namespace exitinfo

// "GPRSGX Region": the last bytes of a frame. One table of the manual prints 176 as its size; the fields say
// 184.
struct GPRSGX {
    Le64 RAX;                         // 0
    Le64 RCX;                         // 8
    Le64 RDX;                         // 16
    Le64 RBX;                         // 24
    Le64 RSP;                         // 32
    Le64 RBP;                         // 40
    Le64 RSI;                         // 48
    Le64 RDI;                         // 56
    std::array<Le64, 8> R8_R15;       // 64
    Le64 RFLAGS;                      // 128
    Le64 RIP;                         // 136
    Le64 URSP;                        // 144  outside, for an asynchronous exit
    Le64 URBP;                        // 152
    Le32 EXITINFO;                    // 160
    std::array<uint8_t, 4> RESERVED;  // 164
    Le64 FSBASE;                      // 168
    Le64 GSBASE;                      // 176
};
static_assert(sizeof(GPRSGX) == 184 && offsetof(GPRSGX, R8_R15) == 64 && offsetof(GPRSGX, RFLAGS) == 128);
static_assert(offsetof(GPRSGX, RIP) == 136 && offsetof(GPRSGX, URSP) == 144 && offsetof(GPRSGX, URBP) == 152);
static_assert(offsetof(GPRSGX, EXITINFO) == 160 && offsetof(GPRSGX, FSBASE) == 168);

// "EXINFO Structure": below GPRSGX when MISCSELECT asks for it.
struct EXINFO {
    Le64 MADDR;                       // 0
    Le32 ERRCD;                       // 8
    std::array<uint8_t, 4> RESERVED;  // 12
};
static_assert(sizeof(EXINFO) == 16 && offsetof(EXINFO, ERRCD) == 8);

// SDM vol. 1, "XSAVE Area": the first 576 bytes, of the standard (not compacted) form.
struct XsaveHead {
    static constexpr size_t kLegacySize = 512;

    Le16 FCW;                           // 0
    Le16 FSW;                           // 2
    std::array<uint8_t, 20> x87_rest;   // 4
    Le32 MXCSR;                         // 24
    Le32 MXCSR_MASK;                    // 28
    std::array<uint8_t, 128> st;        // 32
    std::array<uint8_t, 256> xmm;       // 160
    std::array<uint8_t, 96> available;  // 416
    Le64 XSTATE_BV;                     // 512
    Le64 XCOMP_BV;                      // 520
    std::array<uint8_t, 48> RESERVED;   // 528
};
static_assert(sizeof(XsaveHead) == 576 && offsetof(XsaveHead, MXCSR) == 24 &&
              offsetof(XsaveHead, xmm) == 160);
static_assert(offsetof(XsaveHead, XSTATE_BV) == 512 && offsetof(XsaveHead, XCOMP_BV) == 520);

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
//
// What the architecture lays down about Intel SGX and nothing more: leaf functions, status codes, page types,
// and the operands that the paging and building leaves share. spec_enclave.hpp has SECS, TCS and the state
// save area, spec_signature.hpp what signers make, spec_report.hpp keys and reports, spec_cpuid.hpp how a
// processor says what it has.
//
// Source: Intel SDM vol. 3D (December 2023), "Enclave Access Control and Data Structures" and "SGX
// Instruction References". Names are the manual's. Everything is little-endian.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "support/bits.hpp"
#include "support/endian.hpp"

namespace alcove::sgx {

inline constexpr uint64_t kPageSize = 4096;

// "Intel SGX Instructions: Leaf Functions", EAX of ENCLS. Leaves that are not here are not advertised.
enum class Encls : uint32_t {
    ECREATE = 0x00,
    EADD = 0x01,
    EINIT = 0x02,
    EREMOVE = 0x03,
    EDBGRD = 0x04,
    EDBGWR = 0x05,
    EEXTEND = 0x06,
    ELDB = 0x07,
    ELDU = 0x08,
    EBLOCK = 0x09,
    EPA = 0x0a,
    EWB = 0x0b,
    ETRACK = 0x0c,
    EAUG = 0x0d,
    EMODPR = 0x0e,
    EMODT = 0x0f,
};

// EAX of ENCLU.
enum class Enclu : uint32_t {
    EREPORT = 0x00,
    EGETKEY = 0x01,
    EENTER = 0x02,
    ERESUME = 0x03,
    EEXIT = 0x04,
    EACCEPT = 0x05,
    EMODPE = 0x06,
    EACCEPTCOPY = 0x07,
};

// "Error Codes Reported in RAX", without their prefix SGX_.
enum class StatusCode : uint32_t {
    SUCCESS = 0,
    INVALID_SIG_STRUCT = 1,
    INVALID_ATTRIBUTE = 2,
    BLKSTATE = 3,
    INVALID_MEASUREMENT = 4,
    NOTBLOCKABLE = 5,
    PG_INVLD = 6,
    EPC_PAGE_CONFLICT = 7,
    INVALID_SIGNATURE = 8,
    MAC_COMPARE_FAIL = 9,
    PAGE_NOT_BLOCKED = 10,
    NOT_TRACKED = 11,
    VA_SLOT_OCCUPIED = 12,
    CHILD_PRESENT = 13,
    ENCLAVE_ACT = 14,
    ENTRYEPOCH_LOCKED = 15,
    INVALID_EINITTOKEN = 16,
    PREV_TRK_INCMPL = 17,
    PG_IS_SECS = 18,
    PAGE_ATTRIBUTES_MISMATCH = 19,
    PAGE_NOT_MODIFIABLE = 20,
    PAGE_NOT_DEBUGGABLE = 21,
    INVALID_CPUSVN = 32,
    INVALID_ISVSVN = 64,
    UNMASKED_EVENT = 128,
    INVALID_KEYNAME = 256,
};

// "EPC and Management of EPC Pages", page types. SS_FIRST and SS_REST need CET and are not offered.
enum class PageType : uint8_t {
    SECS = 0,
    TCS = 1,
    REG = 2,
    VA = 3,
    TRIM = 4,
};

// SECINFO.FLAGS. Bits 7:6 and 63:16 are reserved.
namespace secinfo {
inline constexpr uint64_t R = bit<uint64_t>(0);
inline constexpr uint64_t W = bit<uint64_t>(1);
inline constexpr uint64_t X = bit<uint64_t>(2);
inline constexpr uint64_t PENDING = bit<uint64_t>(3);
inline constexpr uint64_t MODIFIED = bit<uint64_t>(4);
inline constexpr uint64_t PR = bit<uint64_t>(5);
using PT = Field<uint64_t, 15, 8>;
inline constexpr uint64_t kRights = R | W | X;
inline constexpr uint64_t kStates = PENDING | MODIFIED | PR;
inline constexpr uint64_t kReserved = ~(kRights | kStates | PT::kMask);
constexpr uint64_t pt(PageType type) {
    return PT::put(0, static_cast<uint64_t>(type));
}
}  // namespace secinfo

// "Security Information (SECINFO)", 64-byte aligned.
struct SECINFO {
    static constexpr uint64_t kAlignment = 64;

    Le64 FLAGS;                        // 0
    std::array<uint8_t, 56> RESERVED;  // 8
};
static_assert(sizeof(SECINFO) == 64 && alignof(SECINFO) == 1);

// "Page Information (PAGEINFO)", 32-byte aligned.
struct PAGEINFO {
    static constexpr uint64_t kAlignment = 32;

    Le64 LINADDR;  // 0
    Le64 SRCPGE;   // 8
    Le64 SECINFO;  // 16  the address of a SECINFO, or of a PCMD for EWB and ELD
    Le64 SECS;     // 24
};
static_assert(sizeof(PAGEINFO) == 32 && offsetof(PAGEINFO, SECS) == 24);

// "Paging Crypto MetaData (PCMD)", 128-byte aligned.
struct PCMD {
    static constexpr uint64_t kAlignment = 128;

    sgx::SECINFO SECINFO;              // 0
    Le64 ENCLAVEID;                    // 64
    std::array<uint8_t, 40> RESERVED;  // 72
    std::array<uint8_t, 16> MAC;       // 112
};
static_assert(sizeof(PCMD) == 128 && offsetof(PCMD, ENCLAVEID) == 64 && offsetof(PCMD, MAC) == 112);

// "Version Array (VA)": a page of slots, 0 when empty.
inline constexpr uint64_t kVaSlotSize = 8;

// EEXTEND measures one chunk at a time.
inline constexpr uint64_t kChunkSize = 256;

// SDM vol. 3A, "Exception and Interrupt Reference".
namespace vector {
inline constexpr uint8_t DE = 0;
inline constexpr uint8_t DB = 1;
inline constexpr uint8_t BP = 3;
inline constexpr uint8_t BR = 5;
inline constexpr uint8_t UD = 6;
inline constexpr uint8_t NM = 7;
inline constexpr uint8_t GP = 13;
inline constexpr uint8_t PF = 14;
inline constexpr uint8_t MF = 16;
inline constexpr uint8_t AC = 17;
inline constexpr uint8_t XM = 19;
}  // namespace vector

// SDM vol. 3A, "Page-Fault Exceptions": the error code. SGX: the EPCM, not the page tables, forbade it.
namespace pfec {
inline constexpr uint32_t P = bit<uint32_t>(0);
inline constexpr uint32_t W = bit<uint32_t>(1);
inline constexpr uint32_t U = bit<uint32_t>(2);
inline constexpr uint32_t I = bit<uint32_t>(4);
inline constexpr uint32_t SGX = bit<uint32_t>(15);
}  // namespace pfec

// SDM vol. 1, "EFLAGS Register".
namespace rflags {
inline constexpr uint64_t CF = bit<uint64_t>(0);
inline constexpr uint64_t FIXED = bit<uint64_t>(1);  // always 1
inline constexpr uint64_t PF = bit<uint64_t>(2);
inline constexpr uint64_t AF = bit<uint64_t>(4);
inline constexpr uint64_t ZF = bit<uint64_t>(6);
inline constexpr uint64_t SF = bit<uint64_t>(7);
inline constexpr uint64_t TF = bit<uint64_t>(8);
inline constexpr uint64_t IF = bit<uint64_t>(9);
inline constexpr uint64_t DF = bit<uint64_t>(10);
inline constexpr uint64_t OF = bit<uint64_t>(11);
using IOPL = Field<uint64_t, 13, 12>;
inline constexpr uint64_t NT = bit<uint64_t>(14);
inline constexpr uint64_t RF = bit<uint64_t>(16);
inline constexpr uint64_t VM = bit<uint64_t>(17);
inline constexpr uint64_t AC = bit<uint64_t>(18);
inline constexpr uint64_t ID = bit<uint64_t>(21);
inline constexpr uint64_t kArithmetic = CF | PF | AF | ZF | SF | OF;
}  // namespace rflags

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
//
// Page tables of 64-bit mode with four levels: the guest's, which are read here, and our own.
//
// Source: SDM vol. 3A, "4-Level Paging and 5-Level Paging", "Access Rights", "Page-Fault Exceptions".
#pragma once

#include <cstdint>

#include "support/bits.hpp"

namespace alcove::sgx_vm::paging {

inline constexpr uint64_t P = bit<uint64_t>(0);
inline constexpr uint64_t RW = bit<uint64_t>(1);
inline constexpr uint64_t US = bit<uint64_t>(2);
inline constexpr uint64_t A = bit<uint64_t>(5);
inline constexpr uint64_t D = bit<uint64_t>(6);
inline constexpr uint64_t PS = bit<uint64_t>(7);
inline constexpr uint64_t XD = bit<uint64_t>(63);

inline constexpr unsigned kTopLevel = 4;
inline constexpr unsigned kEntriesBits = 9;
inline constexpr uint64_t kAddressMask = 0x000f'ffff'ffff'f000;

// Of a page that an entry of this level maps: 4 KiB, 2 MiB, 1 GiB; of what the whole table spans one level
// up.
constexpr unsigned page_bits(unsigned level) {
    return 12 + kEntriesBits * (level - 1);
}
constexpr uint64_t index_of(uint64_t linear, unsigned level) {
    return linear >> page_bits(level) & 0x1ff;
}

// Of the error code; sgx/spec.hpp has the others.
inline constexpr uint32_t kReservedBit = bit<uint32_t>(3);  // RSVD

namespace cr0 {
inline constexpr uint64_t PE = bit<uint64_t>(0);
inline constexpr uint64_t TS = bit<uint64_t>(3);
inline constexpr uint64_t NE = bit<uint64_t>(5);
inline constexpr uint64_t WP = bit<uint64_t>(16);
inline constexpr uint64_t PG = bit<uint64_t>(31);
}  // namespace cr0

namespace cr4 {
inline constexpr uint64_t TSD = bit<uint64_t>(2);
inline constexpr uint64_t DE = bit<uint64_t>(3);
inline constexpr uint64_t PAE = bit<uint64_t>(5);
inline constexpr uint64_t MCE = bit<uint64_t>(6);
inline constexpr uint64_t OSFXSR = bit<uint64_t>(9);
inline constexpr uint64_t OSXMMEXCPT = bit<uint64_t>(10);
inline constexpr uint64_t UMIP = bit<uint64_t>(11);
inline constexpr uint64_t FSGSBASE = bit<uint64_t>(16);
inline constexpr uint64_t OSXSAVE = bit<uint64_t>(18);
inline constexpr uint64_t SMEP = bit<uint64_t>(20);
inline constexpr uint64_t SMAP = bit<uint64_t>(21);
}  // namespace cr4

namespace efer {
inline constexpr uint64_t SCE = bit<uint64_t>(0);
inline constexpr uint64_t LMA = bit<uint64_t>(10);
inline constexpr uint64_t NXE = bit<uint64_t>(11);
}  // namespace efer

}  // namespace alcove::sgx_vm::paging

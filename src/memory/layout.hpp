// SPDX-License-Identifier: Apache-2.0
//
// Where things lie in a guest's physical address space, machine version 1. This is contract: a saved VM finds
// everything where it was, so a change here is a new machine version.
//
//   0                RAM, up to 3 GiB of it
//   c000_0000        PCI: BARs of 32 bits (primary VMs; nothing in enclaves)
//   d000_0000        virtio-mmio windows, 4 KiB each
//   e000_0000        PCI: configuration space of bus 0, ECAM (primary VMs; nothing in enclaves)
//   fec0_0000        IOAPIC
//   fee0_0000        LAPIC
//   fffb_c000        KVM's own four pages (identity map, TSS)
//   1_0000_0000      the rest of RAM
//   6f_c000_0000     with SGX: memory that enclaves' processors need, in no guest's view; EPC is below
//   70_0000_0000     PCI: BARs of 64 bits, up to the end of the 39 bits that every host has (primary VMs)
#pragma once

#include <cstdint>
#include <vector>

#include "memory/guest_memory.hpp"
#include "support/bits.hpp"

namespace alcove::memory::layout {

inline constexpr uint64_t kLowRamLimit = 3_GiB;
inline constexpr uint64_t kHighRamStart = 4_GiB;

inline constexpr uint64_t kVirtioMmioBase = 0xd000'0000;
inline constexpr uint64_t kVirtioMmioStride = 0x1000;
inline constexpr uint32_t kVirtioMmioMax = 8;

inline constexpr GuestRange kPciMmio32{.base = GuestAddress(0xc000'0000), .size = 256_MiB};
// One bus of 32 slots with 8 functions of 4 KiB (PCI Express Base 5.0, 7.2.2).
inline constexpr GuestRange kPciEcam{.base = GuestAddress(0xe000'0000), .size = 1_MiB};
// Bounds the RAM of a machine that has it: 448 GiB less the gap.
inline constexpr GuestRange kPciMmio64{.base = GuestAddress(448_GiB), .size = 64_GiB};

inline constexpr GuestRange kSgxPrivate{.base = GuestAddress(447_GiB), .size = 1_GiB};

inline constexpr uint64_t kIoApic = 0xfec0'0000;
inline constexpr uint64_t kLocalApic = 0xfee0'0000;
inline constexpr uint64_t kKvmIdentityMap = 0xfffb'c000;
inline constexpr uint64_t kKvmTss = 0xfffb'd000;

// Where devices are or may come to be.
inline std::vector<GuestRange> device_ranges() {
    return {{.base = GuestAddress(kLowRamLimit), .size = kHighRamStart - kLowRamLimit}, kPciMmio64};
}

// RAM of `size` bytes (a multiple of the page size) around the gap below 4 GiB, in the order of the RAM file.
inline std::vector<GuestMemory::Region> ram_regions(uint64_t size) {
    const uint64_t low = size < kLowRamLimit ? size : kLowRamLimit;
    std::vector<GuestMemory::Region> regions{{.range = {GuestAddress(0), low}, .file_offset = 0}};
    if (size > low)
        regions.push_back({.range = {GuestAddress(kHighRamStart), size - low}, .file_offset = low});
    return regions;
}

}  // namespace alcove::memory::layout

// SPDX-License-Identifier: Apache-2.0
//
// What a kernel file asks of its loader: which bytes go where, how much room it needs, and how it is
// entered. Parsing only; nothing is loaded here. The file is foreign: every field is checked.
//
// Two kinds: a bzImage with the 64-bit entry point (boot.rst), and an ELF64 file with a PVH note.
#pragma once

#include <cstdint>
#include <vector>

#include "boot/linux_spec.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::boot {

enum class EntryMode {
    Linux64,  // long mode, flat segments, RSI = boot_params
    Pvh32,    // protected mode, paging off, EBX = hvm_start_info
};

struct KernelSegment {
    uint64_t address;      // guest-physical
    uint64_t file_offset;  // into the kernel file
    uint64_t file_size;    // bytes to copy; the rest up to memory_size is zero
    uint64_t memory_size;
};

struct KernelImage {
    EntryMode mode;
    uint64_t entry;  // guest-physical
    std::vector<KernelSegment> segments;
    uint64_t footprint_start;  // all that the kernel uses before it knows its memory map
    uint64_t footprint_end;
    uint64_t initrd_limit;        // the last address an initrd may use
    uint64_t command_line_limit;  // bytes without the terminating zero
    SetupHeader header;           // of a bzImage; zeros for an ELF file
};

// ErrorCode::KernelInvalid says what is wrong.
Result<KernelImage> parse_kernel(ByteView file);

}  // namespace alcove::boot

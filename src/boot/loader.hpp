// SPDX-License-Identifier: Apache-2.0
//
// Puts a kernel and what it needs into a guest's fresh memory, and says in which state the first vCPU is to
// start. There is no firmware: the tables a kernel expects are written here.
//
// What lies below 1 MiB (all of it a pure function of the inputs):
//
//   0x0500  GDT               0x7000   boot_params        0x20000  command line (up to 64 KiB)
//   0x6000  PVH start info    0x9000   page tables        0xe0000  ACPI tables or MP table
//
// Above: the kernel at its preferred address; the ramdisks, one after the other without padding, as high
// below the kernel's limit as they fit, else above 4 GiB.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "boot/kernel_image.hpp"
#include "boot/platform.hpp"
#include "memory/guest_memory.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::boot {

struct BootInputs {
    ByteView kernel;
    std::vector<ByteView> ramdisks;
    std::string command_line;
    Platform platform;
};

// Where the first vCPU begins.
struct EntryState {
    EntryMode mode;
    uint64_t instruction_pointer;
    uint64_t argument;     // RSI in Linux64, RBX in Pvh32: a guest-physical address
    uint64_t page_table;   // CR3 in Linux64
    uint64_t gdt_address;  // 0 and limit 0 in Pvh32: the guest brings its own
    uint16_t gdt_limit;
};

// The descriptors of our GDT, as boot.rst wants them for the 64-bit entry.
inline constexpr uint16_t kBootCodeSelector = 0x10;
inline constexpr uint16_t kBootDataSelector = 0x18;

// The memory is all zeros before. Errors: KernelInvalid, RamdiskTooLarge, CommandLineInvalid.
Result<EntryState> load_boot(const memory::GuestMemory& memory, const BootInputs& inputs);

}  // namespace alcove::boot

// SPDX-License-Identifier: Apache-2.0
//
// The Linux/x86 boot protocol: the setup header of a bzImage and the boot_params page ("zero page").
// Sources: Linux Documentation/arch/x86/boot.rst and zero-page.rst, at 6.12 (protocol 2.15); PVH:
// Xen docs/misc/pvh.pandoc and Linux include/xen/interface/hvm/start_info.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "support/endian.hpp"

namespace alcove::boot {

// boot.rst, "The Real-Mode Kernel Header": file offset 0x1f1.
struct SetupHeader {
    uint8_t setup_sects;         // 0x1f1
    Le16 root_flags;             // 0x1f2
    Le32 syssize;                // 0x1f4
    Le16 ram_size;               // 0x1f8
    Le16 vid_mode;               // 0x1fa
    Le16 root_dev;               // 0x1fc
    Le16 boot_flag;              // 0x1fe  0xaa55
    Le16 jump;                   // 0x200
    Le32 header;                 // 0x202  "HdrS"
    Le16 version;                // 0x206
    Le32 realmode_swtch;         // 0x208
    Le16 start_sys_seg;          // 0x20c
    Le16 kernel_version;         // 0x20e
    uint8_t type_of_loader;      // 0x210
    uint8_t loadflags;           // 0x211
    Le16 setup_move_size;        // 0x212
    Le32 code32_start;           // 0x214
    Le32 ramdisk_image;          // 0x218
    Le32 ramdisk_size;           // 0x21c
    Le32 bootsect_kludge;        // 0x220
    Le16 heap_end_ptr;           // 0x224
    uint8_t ext_loader_ver;      // 0x226
    uint8_t ext_loader_type;     // 0x227
    Le32 cmd_line_ptr;           // 0x228
    Le32 initrd_addr_max;        // 0x22c
    Le32 kernel_alignment;       // 0x230
    uint8_t relocatable_kernel;  // 0x234
    uint8_t min_alignment;       // 0x235
    Le16 xloadflags;             // 0x236
    Le32 cmdline_size;           // 0x238
    Le32 hardware_subarch;       // 0x23c
    Le64 hardware_subarch_data;  // 0x240
    Le32 payload_offset;         // 0x248
    Le32 payload_length;         // 0x24c
    Le64 setup_data;             // 0x250
    Le64 pref_address;           // 0x258
    Le32 init_size;              // 0x260
    Le32 handover_offset;        // 0x264
    Le32 kernel_info_offset;     // 0x268
};
inline constexpr uint64_t kSetupHeaderOffset = 0x1f1;
static_assert(sizeof(SetupHeader) == 0x26c - kSetupHeaderOffset);
static_assert(offsetof(SetupHeader, header) == 0x202 - kSetupHeaderOffset);
static_assert(offsetof(SetupHeader, pref_address) == 0x258 - kSetupHeaderOffset);

inline constexpr uint16_t kBootFlag = 0xaa55;
inline constexpr uint32_t kHeaderMagic = 0x53726448;  // "HdrS"
inline constexpr uint16_t kMinimumVersion = 0x020c;   // first with xloadflags: 64-bit entry
inline constexpr uint8_t kLoadedHigh = 1;             // loadflags, bit 0
inline constexpr uint16_t kXlfKernel64 = 1;           // xloadflags, bit 0
inline constexpr uint16_t kXlfAbove4G = 2;            // xloadflags, bit 1: kernel, initrd anywhere
inline constexpr uint8_t kLoaderUndefined = 0xff;     // type_of_loader
inline constexpr uint64_t kEntry64Offset = 0x200;

// boot_params.e820_table, zero-page.rst.
struct E820Entry {
    Le64 address;
    Le64 size;
    Le32 type;
};
static_assert(sizeof(E820Entry) == 20);
enum class E820Type : uint32_t { Ram = 1, Reserved = 2, Acpi = 3 };

// zero-page.rst; only what we fill has a name.
struct BootParams {
    std::array<uint8_t, 0x70> screen_and_bios;     // 0x000
    Le64 acpi_rsdp_addr;                           // 0x070
    std::array<uint8_t, 0xc0 - 0x78> unused_0;     // 0x078
    Le32 ext_ramdisk_image;                        // 0x0c0  upper 32 bits
    Le32 ext_ramdisk_size;                         // 0x0c4
    std::array<uint8_t, 0x1e8 - 0xc8> unused_1;    // 0x0c8
    uint8_t e820_entries;                          // 0x1e8
    std::array<uint8_t, 0x1f1 - 0x1e9> unused_2;   // 0x1e9
    SetupHeader header;                            // 0x1f1
    std::array<uint8_t, 0x2d0 - 0x26c> unused_3;   // 0x26c
    std::array<E820Entry, 128> e820_table;         // 0x2d0
    std::array<uint8_t, 0x1000 - 0xcd0> unused_4;  // 0xcd0
};
static_assert(sizeof(BootParams) == 4096);
static_assert(offsetof(BootParams, acpi_rsdp_addr) == 0x70 && offsetof(BootParams, e820_entries) == 0x1e8);
static_assert(offsetof(BootParams, header) == 0x1f1 && offsetof(BootParams, e820_table) == 0x2d0);

// start_info.h: what EBX points to at a PVH entry.
struct HvmStartInfo {
    Le32 magic;           // 0
    Le32 version;         // 4
    Le32 flags;           // 8
    Le32 nr_modules;      // 12
    Le64 modlist_paddr;   // 16
    Le64 cmdline_paddr;   // 24
    Le64 rsdp_paddr;      // 32
    Le64 memmap_paddr;    // 40  version 1 and up
    Le32 memmap_entries;  // 48
    Le32 reserved;        // 52
};
static_assert(sizeof(HvmStartInfo) == 56);
inline constexpr uint32_t kHvmStartMagic = 0x336ec578;

struct HvmModule {
    Le64 paddr;
    Le64 size;
    Le64 cmdline_paddr;
    Le64 reserved;
};
static_assert(sizeof(HvmModule) == 32);

struct HvmMemmapEntry {
    Le64 address;
    Le64 size;
    Le32 type;  // as E820
    Le32 reserved;
};
static_assert(sizeof(HvmMemmapEntry) == 24);

inline constexpr uint32_t kPvhEntryNoteType = 18;  // XEN_ELFNOTE_PHYS32_ENTRY

}  // namespace alcove::boot

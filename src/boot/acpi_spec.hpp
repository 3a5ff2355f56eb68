// SPDX-License-Identifier: Apache-2.0
//
// ACPI tables as they lie in memory. Source: ACPI 6.5, chapter 5.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "support/endian.hpp"

namespace alcove::boot {

// 5.2.5.3
struct AcpiRsdp {
    std::array<char, 8> signature;  //  0  "RSD PTR "
    uint8_t checksum;               //  8  over the first 20 bytes
    std::array<char, 6> oem_id;     //  9
    uint8_t revision;               // 15  2
    Le32 rsdt_address;              // 16
    Le32 length;                    // 20
    Le64 xsdt_address;              // 24
    uint8_t extended_checksum;      // 32  over all 36
    std::array<uint8_t, 3> reserved;
};
static_assert(sizeof(AcpiRsdp) == 36);

// 5.2.6
struct AcpiHeader {
    std::array<char, 4> signature;     //  0
    Le32 length;                       //  4  with this header
    uint8_t revision;                  //  8
    uint8_t checksum;                  //  9
    std::array<char, 6> oem_id;        // 10
    std::array<char, 8> oem_table_id;  // 16
    Le32 oem_revision;                 // 24
    std::array<char, 4> creator_id;    // 28
    Le32 creator_revision;             // 32
};
static_assert(sizeof(AcpiHeader) == 36);

// 5.2.3.2
struct AcpiGenericAddress {
    uint8_t address_space;  // 1: system I/O
    uint8_t bit_width;
    uint8_t bit_offset;
    uint8_t access_size;  // 1: byte
    Le64 address;
};
static_assert(sizeof(AcpiGenericAddress) == 12);

// 5.2.9; the fields before `flags` that we leave zero are one array.
struct AcpiFadt {
    AcpiHeader header;                      //   0
    std::array<uint8_t, 109 - 36> zero_1;   //  36
    Le16 iapc_boot_arch;                    // 109
    uint8_t reserved_1;                     // 111
    Le32 flags;                             // 112
    AcpiGenericAddress reset_reg;           // 116
    uint8_t reset_value;                    // 128
    Le16 arm_boot_arch;                     // 129
    uint8_t minor_version;                  // 131
    Le64 x_firmware_ctrl;                   // 132
    Le64 x_dsdt;                            // 140
    std::array<uint8_t, 244 - 148> zero_2;  // 148
    AcpiGenericAddress sleep_control_reg;   // 244
    AcpiGenericAddress sleep_status_reg;    // 256
    std::array<char, 8> hypervisor_vendor;  // 268
};
static_assert(sizeof(AcpiFadt) == 276);
static_assert(offsetof(AcpiFadt, reset_reg) == 116 && offsetof(AcpiFadt, x_dsdt) == 140);
static_assert(offsetof(AcpiFadt, sleep_control_reg) == 244);
inline constexpr uint32_t kFadtResetRegSupported = 1U << 10;
inline constexpr uint32_t kFadtHardwareReduced = 1U << 20;
// iapc_boot_arch, 5.2.9.3: no VGA, no CMOS clock; the 8042 bit (1) stays clear.
inline constexpr uint16_t kBootArchNoVga = 1U << 2;
inline constexpr uint16_t kBootArchNoCmosRtc = 1U << 5;

// 5.2.12
struct AcpiMadt {
    AcpiHeader header;
    Le32 local_apic_address;
    Le32 flags;  // bit 0, PC-AT dual 8259s: clear
};
static_assert(sizeof(AcpiMadt) == 44);

struct AcpiMadtLocalApic {  // 5.2.12.2
    uint8_t type;           // 0
    uint8_t length;         // 8
    uint8_t processor_uid;
    uint8_t apic_id;
    Le32 flags;  // bit 0: enabled
};
static_assert(sizeof(AcpiMadtLocalApic) == 8);

struct AcpiMadtIoApic {  // 5.2.12.3
    uint8_t type;        // 1
    uint8_t length;      // 12
    uint8_t id;
    uint8_t reserved;
    Le32 address;
    Le32 gsi_base;
};
static_assert(sizeof(AcpiMadtIoApic) == 12);

// PCI Firmware Specification 3.2, 4.1.2: one allocation a segment.
struct AcpiMcfg {
    AcpiHeader header;
    Le64 reserved;
    Le64 base;            // 44  of bus 0's configuration space
    Le16 segment;         // 52
    uint8_t start_bus;    // 54
    uint8_t end_bus;      // 55
    Le32 reserved_entry;  // 56
};
static_assert(sizeof(AcpiMcfg) == 60);

// ACPI 6.5, 5.2.16 "System Resource Affinity Table (SRAT)".
struct AcpiSrat {
    AcpiHeader header;
    Le32 reserved_one;  // 36  is 1
    Le64 reserved;
};
static_assert(sizeof(AcpiSrat) == 48);
struct AcpiSratLocalApic {
    uint8_t type;    // 0
    uint8_t length;  // 16
    uint8_t node_low;
    uint8_t apic_id;
    Le32 flags;  // 4   1: enabled
    uint8_t sapic_eid;
    std::array<uint8_t, 3> node_high;
    Le32 clock_domain;  // 12
};
static_assert(sizeof(AcpiSratLocalApic) == 16);
struct AcpiSratMemory {
    uint8_t type;    // 1
    uint8_t length;  // 40
    Le32 node;       // 2
    Le16 reserved;
    Le64 base;  // 8
    Le64 size;  // 16
    Le32 reserved_middle;
    Le32 flags;  // 28  1: enabled
    Le64 reserved_end;
};
static_assert(sizeof(AcpiSratMemory) == 40);

}  // namespace alcove::boot

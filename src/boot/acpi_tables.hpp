// SPDX-License-Identifier: Apache-2.0
//
// The ACPI tables of a machine: RSDP, XSDT, FADT (hardware-reduced), MADT, DSDT. Made by us, nothing
// borrowed from a BIOS: the bytes are a pure function of the machine's shape, since a guest sees them.
//
// Hardware-reduced ACPI has no fixed hardware and no legacy interrupts, so what a PC would imply is said in
// the DSDT: the serial port with its interrupt, each virtio-mmio window, the panic notifier. The 8042 is
// not declared: only its reset command is wanted, and a declared one is probed by hundreds of exits.
#pragma once

#include <cstdint>
#include <vector>

#include "support/bytes.hpp"

namespace alcove::boot {

struct VirtioMmioPlace {
    uint32_t base;  // guest-physical, below 4 GiB
    uint32_t size;
    uint32_t gsi;
};

struct AcpiPlan {
    uint32_t vcpu_count;  // APIC ids 0 .. vcpu_count - 1
    std::vector<VirtioMmioPlace> virtio_mmio;
};

// Fixed registers of the platform, in I/O space.
inline constexpr uint16_t kAcpiSleepControlPort = 0x600;
inline constexpr uint16_t kAcpiSleepStatusPort = 0x601;
inline constexpr uint16_t kAcpiResetPort = 0x604;
inline constexpr uint8_t kAcpiResetValue = 1;
inline constexpr uint8_t kAcpiSleepTypeS5 = 5;
inline constexpr uint16_t kPanicPort = 0x505;
inline constexpr uint16_t kSerialPort = 0x3f8;
inline constexpr uint32_t kSerialGsi = 4;

// The tables for placing at `base`, RSDP first; addresses inside are final.
Bytes build_acpi_tables(const AcpiPlan& plan, uint64_t base);

}  // namespace alcove::boot

// SPDX-License-Identifier: Apache-2.0
//
// The ACPI tables of a machine: RSDP, XSDT, FADT (hardware-reduced), MADT, DSDT, MCFG with PCI. Made by us,
// nothing borrowed from a BIOS: the bytes are a pure function of the machine's shape, since a guest sees
// them.
//
// Hardware-reduced ACPI has no fixed hardware and no legacy interrupts, so what a PC would imply is said in
// the DSDT: the serial port with its interrupt, each virtio-mmio window, the panic notifier. The 8042 is
// not declared: only its reset command is wanted, and a declared one is probed by hundreds of exits.
#pragma once

#include <cstdint>

#include "boot/platform.hpp"
#include "support/bytes.hpp"

namespace alcove::boot {

// The tables for placing at `base`, RSDP first; addresses inside are final.
Bytes build_acpi_tables(const Platform& platform, uint64_t base);

}  // namespace alcove::boot

// SPDX-License-Identifier: Apache-2.0
//
// The MultiProcessor configuration table: how kernels without a usable ACPI find processors, the IOAPIC and
// the ISA interrupts. Source: Intel MultiProcessor Specification 1.4, chapter 4.
#pragma once

#include <cstdint>

#include "support/bytes.hpp"

namespace alcove::boot {

// Floating pointer first, then the table, for placing at `base`: 16-byte aligned, below 1 MiB.
Bytes build_mp_table(uint32_t vcpu_count, uint64_t base);

}  // namespace alcove::boot

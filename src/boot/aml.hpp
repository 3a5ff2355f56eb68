// SPDX-License-Identifier: Apache-2.0
//
// The few words of ACPI Machine Language that our DSDT is written in. Functions return encoded terms;
// concatenate them. Source: ACPI 6.5, chapters 19.6, 20 ("AML Specification") and 6.4 ("Resource Data
// Types").
#pragma once

#include <cstdint>
#include <string_view>

#include "support/bytes.hpp"

namespace alcove::boot::aml {

Bytes concat(std::initializer_list<ByteView> terms);

Bytes integer(uint64_t value);
Bytes string(std::string_view text);
Bytes eisa_id(std::string_view id);                    // "PNP0501"
Bytes name(std::string_view segment, ByteView value);  // Name (_HID, ...); four characters
Bytes package(std::initializer_list<Bytes> elements);
Bytes device(std::string_view segment, ByteView body);
Bytes scope(std::string_view path, ByteView body);  // "\\_SB_": optional root, then segments of four

// ResourceTemplate () { ... } around the descriptors given.
Bytes resource_template(ByteView descriptors);
Bytes io_port(uint16_t base, uint8_t length);
Bytes memory32(uint32_t base, uint32_t length);
Bytes memory64(uint64_t base, uint64_t length);  // cached, writable
Bytes edge_interrupt(uint32_t gsi);              // consumer, edge, active high, exclusive
// What a bus passes on to the devices behind it. Memory is not cached, or prefetchable.
Bytes bus_numbers(uint16_t first, uint16_t count);
Bytes memory_window32(uint32_t base, uint32_t length);
Bytes memory_window64(uint64_t base, uint64_t length);

}  // namespace alcove::boot::aml

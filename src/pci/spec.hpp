// SPDX-License-Identifier: Apache-2.0
//
// What the PCI Local Bus Specification 3.0 lays down of configuration space, and nothing more. PCI Express
// keeps all of it (Base 5.0, 7.5.1).
#pragma once

#include <cstdint>

#include "support/bits.hpp"

namespace alcove::pci {

inline constexpr uint32_t kConfigSize = 256;  // of a function without extended configuration space
inline constexpr uint8_t kBarCount = 6;
inline constexpr uint8_t kSlotCount = 32;

// PCI 3.0, 6.1: offsets in a header of type 0.
namespace header {
inline constexpr uint8_t VendorID = 0x00;
inline constexpr uint8_t DeviceID = 0x02;
inline constexpr uint8_t Command = 0x04;
inline constexpr uint8_t Status = 0x06;
inline constexpr uint8_t RevisionID = 0x08;
inline constexpr uint8_t ClassCode = 0x09;  // programming interface, subclass, base class
inline constexpr uint8_t CacheLineSize = 0x0c;
inline constexpr uint8_t HeaderType = 0x0e;
inline constexpr uint8_t BaseAddress = 0x10;
inline constexpr uint8_t SubsystemVendorID = 0x2c;
inline constexpr uint8_t SubsystemID = 0x2e;
inline constexpr uint8_t CapabilitiesPointer = 0x34;
inline constexpr uint8_t InterruptLine = 0x3c;
inline constexpr uint8_t InterruptPin = 0x3d;
inline constexpr uint8_t kSize = 0x40;
}  // namespace header

// PCI 3.0, 6.2.2: the command register.
namespace command {
inline constexpr uint16_t IO_SPACE = bit<uint16_t>(0);
inline constexpr uint16_t MEMORY_SPACE = bit<uint16_t>(1);
inline constexpr uint16_t BUS_MASTER = bit<uint16_t>(2);
inline constexpr uint16_t INTERRUPT_DISABLE = bit<uint16_t>(10);
}  // namespace command

// PCI 3.0, 6.2.3: the status register.
namespace status {
inline constexpr uint16_t CAPABILITIES_LIST = bit<uint16_t>(4);
}

// PCI 3.0, 6.2.5.1: the low bits of a memory base address register.
namespace base_address {
inline constexpr uint32_t TYPE_64 = 2U << 1;
inline constexpr uint32_t PREFETCHABLE = bit<uint32_t>(3);
inline constexpr uint32_t kFlagBits = 0xf;
}  // namespace base_address

// PCI 3.0, appendix H: capability ids.
namespace capability_id {
inline constexpr uint8_t VendorSpecific = 0x09;
inline constexpr uint8_t MsiX = 0x11;
}  // namespace capability_id

// PCI 3.0, 6.8.2: the MSI-X capability, its table and its pending bit array.
namespace msix {
inline constexpr uint8_t MessageControl = 2;  // offset in the capability
inline constexpr uint8_t kCapabilitySize = 12;
inline constexpr uint16_t FUNCTION_MASK = bit<uint16_t>(14);
inline constexpr uint16_t ENABLE = bit<uint16_t>(15);

enum Entry : uint8_t { MessageAddress = 0, MessageUpperAddress = 4, MessageData = 8, VectorControl = 12 };
inline constexpr uint32_t kEntrySize = 16;
inline constexpr uint32_t MASKED = 1;  // in VectorControl
}  // namespace msix

// PCI 3.0, 3.2.2.3.2: CONFIG_ADDRESS and CONFIG_DATA.
namespace config_ports {
inline constexpr uint16_t kBase = 0xcf8;
inline constexpr uint16_t kSize = 8;
inline constexpr uint16_t kData = 4;  // offset of CONFIG_DATA
using Enable = Field<uint32_t, 31, 31>;
using Reserved = Field<uint32_t, 30, 24>;
using Bus = Field<uint32_t, 23, 16>;
using Device = Field<uint32_t, 15, 11>;
using Function = Field<uint32_t, 10, 8>;
using Register = Field<uint32_t, 7, 2>;
}  // namespace config_ports

// PCI Express Base 5.0, 7.2.2: how an offset in the ECAM window names a register.
namespace ecam {
using Bus = Field<uint64_t, 27, 20>;
using Device = Field<uint64_t, 19, 15>;
using Function = Field<uint64_t, 14, 12>;
using Register = Field<uint64_t, 11, 0>;
}  // namespace ecam

// PCI Code and ID Assignment 1.11: base class, subclass, programming interface.
namespace class_code {
inline constexpr uint32_t HostBridge = 0x060000;
}

}  // namespace alcove::pci

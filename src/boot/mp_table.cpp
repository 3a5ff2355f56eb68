// SPDX-License-Identifier: Apache-2.0
#include "boot/mp_table.hpp"

#include <array>
#include <cstddef>

#include "boot/table_checksum.hpp"
#include "memory/layout.hpp"
#include "support/endian.hpp"

namespace alcove::boot {

namespace {

namespace layout = memory::layout;

struct FloatingPointer {              // 4.1
    std::array<char, 4> signature;    //  0  "_MP_"
    Le32 table_address;               //  4
    uint8_t length;                   //  8  in 16-byte units
    uint8_t revision;                 //  9  4
    uint8_t checksum;                 // 10
    std::array<uint8_t, 5> features;  // 11  zero: a table is present, no PIC mode
};
static_assert(sizeof(FloatingPointer) == 16);

struct ConfigurationHeader {          // 4.2
    std::array<char, 4> signature;    //  0  "PCMP"
    Le16 length;                      //  4
    uint8_t revision;                 //  6
    uint8_t checksum;                 //  7
    std::array<char, 8> oem_id;       //  8
    std::array<char, 12> product_id;  // 16
    Le32 oem_table;                   // 28
    Le16 oem_table_size;              // 32
    Le16 entry_count;                 // 34
    Le32 local_apic_address;          // 36
    Le16 extended_length;             // 40
    uint8_t extended_checksum;        // 42
    uint8_t reserved;                 // 43
};
static_assert(sizeof(ConfigurationHeader) == 44);

struct ProcessorEntry {  // 4.3.1
    uint8_t type;        // 0
    uint8_t apic_id;
    uint8_t apic_version;
    uint8_t flags;  // bit 0 enabled, bit 1 boot processor
    Le32 signature;
    Le32 features;
    std::array<uint8_t, 8> reserved;
};
static_assert(sizeof(ProcessorEntry) == 20);

struct BusEntry {  // 4.3.2
    uint8_t type;  // 1
    uint8_t id;
    std::array<char, 6> name;
};
static_assert(sizeof(BusEntry) == 8);

struct IoApicEntry {  // 4.3.3
    uint8_t type;     // 2
    uint8_t id;
    uint8_t version;
    uint8_t flags;  // bit 0 enabled
    Le32 address;
};
static_assert(sizeof(IoApicEntry) == 8);

struct InterruptEntry {      // 4.3.4, 4.3.5
    uint8_t type;            // 3: I/O, 4: local
    uint8_t interrupt_type;  // 0 vectored, 1 NMI, 3 ExtINT
    Le16 flags;              // 0: as the bus has it (ISA: edge, active high)
    uint8_t source_bus;
    uint8_t source_irq;
    uint8_t destination_apic;
    uint8_t destination_input;
};
static_assert(sizeof(InterruptEntry) == 8);

constexpr uint8_t kLocalApicVersion = 0x14;
constexpr uint8_t kIoApicVersion = 0x11;
constexpr uint8_t kVectored = 0;
constexpr uint8_t kNmi = 1;
constexpr uint8_t kExtInt = 3;
constexpr uint8_t kAllApics = 0xff;
constexpr uint8_t kIsaInterrupts = 16;

}  // namespace

Bytes build_mp_table(uint32_t vcpu_count, uint64_t base) {
    Bytes entries;
    uint16_t count = 0;
    const auto add = [&](const auto& entry) {
        const auto bytes = object_bytes(entry);
        entries.insert(entries.end(), bytes.begin(), bytes.end());
        ++count;
    };
    const auto ioapic_id = static_cast<uint8_t>(vcpu_count);
    for (uint32_t i = 0; i < vcpu_count; ++i)
        add(ProcessorEntry{.type = 0,
                           .apic_id = static_cast<uint8_t>(i),
                           .apic_version = kLocalApicVersion,
                           .flags = static_cast<uint8_t>(i == 0 ? 3 : 1),
                           .signature = 0,
                           .features = 0,
                           .reserved = {}});
    add(BusEntry{.type = 1, .id = 0, .name = {'I', 'S', 'A', ' ', ' ', ' '}});
    add(IoApicEntry{.type = 2,
                    .id = ioapic_id,
                    .version = kIoApicVersion,
                    .flags = 1,
                    .address = static_cast<uint32_t>(layout::kIoApic)});
    for (uint8_t irq = 0; irq < kIsaInterrupts; ++irq)
        add(InterruptEntry{.type = 3,
                           .interrupt_type = kVectored,
                           .flags = 0,
                           .source_bus = 0,
                           .source_irq = irq,
                           .destination_apic = ioapic_id,
                           .destination_input = irq});
    add(InterruptEntry{.type = 4,
                       .interrupt_type = kExtInt,
                       .flags = 0,
                       .source_bus = 0,
                       .source_irq = 0,
                       .destination_apic = 0,
                       .destination_input = 0});
    add(InterruptEntry{.type = 4,
                       .interrupt_type = kNmi,
                       .flags = 0,
                       .source_bus = 0,
                       .source_irq = 0,
                       .destination_apic = kAllApics,
                       .destination_input = 1});

    ConfigurationHeader header{};
    header.signature = {'P', 'C', 'M', 'P'};
    header.length = static_cast<uint16_t>(sizeof header + entries.size());
    header.revision = 4;
    header.oem_id = {'A', 'L', 'C', 'O', 'V', 'E', ' ', ' '};
    header.product_id = {'M', 'A', 'C', 'H', 'I', 'N', 'E', ' ', '1', ' ', ' ', ' '};
    header.entry_count = count;
    header.local_apic_address = static_cast<uint32_t>(layout::kLocalApic);

    FloatingPointer pointer{};
    pointer.signature = {'_', 'M', 'P', '_'};
    pointer.table_address = static_cast<uint32_t>(base + sizeof pointer);
    pointer.length = 1;
    pointer.revision = 4;
    pointer.checksum = table_checksum(object_bytes(pointer));

    Bytes result = to_bytes(object_bytes(pointer));
    const auto header_bytes = object_bytes(header);
    result.insert(result.end(), header_bytes.begin(), header_bytes.end());
    result.insert(result.end(), entries.begin(), entries.end());
    result[sizeof pointer + offsetof(ConfigurationHeader, checksum)] =
        table_checksum(ByteView(result).subspan(sizeof pointer));
    return result;
}

}  // namespace alcove::boot

// SPDX-License-Identifier: Apache-2.0
#include "boot/smbios.hpp"

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string_view>

#include "boot/smbios_spec.hpp"
#include "boot/table_checksum.hpp"
#include "support/bits.hpp"

namespace alcove::boot {

namespace {

constexpr std::string_view kVendor = "Alcove";
constexpr uint8_t kMotherboard = 0x0a;
constexpr uint8_t kPowerSwitch = 6;  // 7.2.2
constexpr uint8_t kNoRomSize = 0;
constexpr uint64_t kCharacteristicsUnsupported = 1U << 3;  // 7.1.1
constexpr uint8_t kIsVirtualMachine = 1U << 4;             // 7.1.2.2
constexpr uint8_t kUnknownRelease = 0xff;

template <typename Structure>
void append(Bytes& table, const Structure& structure, std::initializer_list<std::string_view> strings) {
    const auto bytes = object_bytes(structure);
    table.insert(table.end(), bytes.begin(), bytes.end());
    for (const auto& text : strings) {
        table.insert(table.end(), text.begin(), text.end());
        table.push_back(0);
    }
    if (strings.size() == 0) table.push_back(0);
    table.push_back(0);
}

SmbiosHeader header(uint8_t type, size_t length, uint16_t handle) {
    return {.type = type, .length = static_cast<uint8_t>(length), .handle = handle};
}

// 7.2.1: the first three fields of a UUID are little-endian here.
std::array<uint8_t, 16> little_endian_fields(std::array<uint8_t, 16> uuid) {
    std::reverse(uuid.begin(), uuid.begin() + 4);
    std::reverse(uuid.begin() + 4, uuid.begin() + 6);
    std::reverse(uuid.begin() + 6, uuid.begin() + 8);
    return uuid;
}

Bytes build_structures(const SystemIdentity& identity) {
    Bytes table;
    SmbiosBios bios{};
    bios.header = header(0, sizeof bios, 0);
    bios.vendor = 1;
    bios.version = 2;
    bios.rom_size = kNoRomSize;
    bios.characteristics = kCharacteristicsUnsupported;
    bios.characteristics_extension = {0, kIsVirtualMachine};
    bios.major_release = kUnknownRelease;
    bios.minor_release = kUnknownRelease;
    bios.controller_major_release = kUnknownRelease;
    bios.controller_minor_release = kUnknownRelease;
    append(table, bios, {kVendor, "1"});

    SmbiosSystem system{};
    system.header = header(1, sizeof system, 1);
    system.manufacturer = 1;
    system.product_name = 2;
    system.uuid = little_endian_fields(identity.uuid);
    system.wake_up_type = kPowerSwitch;
    append(table, system, {kVendor, "Alcove primary VM"});

    SmbiosBaseboard board{};
    board.header = header(2, sizeof board, 2);
    board.manufacturer = 1;
    board.asset_tag = 2;
    board.board_type = kMotherboard;
    append(table, board, {kVendor, identity.asset_tag});

    append(table, header(127, sizeof(SmbiosHeader), 3), {});
    return table;
}

}  // namespace

Bytes build_smbios(const SystemIdentity& identity, uint64_t base) {
    const Bytes structures = build_structures(identity);
    constexpr uint64_t kTableOffset = 32;
    SmbiosEntryPoint entry{};
    entry.anchor = {'_', 'S', 'M', '3', '_'};
    entry.length = sizeof entry;
    entry.major_version = 3;
    entry.minor_version = 6;
    entry.entry_revision = 1;
    entry.table_maximum_size = static_cast<uint32_t>(structures.size());
    entry.table_address = base + kTableOffset;
    entry.checksum = table_checksum(object_bytes(entry));

    Bytes result = to_bytes(object_bytes(entry));
    result.resize(kTableOffset, 0);
    result.insert(result.end(), structures.begin(), structures.end());
    return result;
}

}  // namespace alcove::boot

// SPDX-License-Identifier: Apache-2.0
//
// SMBIOS structures as they lie in memory. Source: DMTF DSP0134 (SMBIOS) 3.6. Strings follow their structure
// and are named by number, from 1 on; 0 is none.
#pragma once

#include <array>
#include <cstdint>

#include "support/endian.hpp"

namespace alcove::boot {

// 5.2.2, the 64-bit entry point.
struct SmbiosEntryPoint {
    std::array<char, 5> anchor;  //  0  "_SM3_"
    uint8_t checksum;            //  5
    uint8_t length;              //  6  24
    uint8_t major_version;       //  7
    uint8_t minor_version;       //  8
    uint8_t docrev;              //  9
    uint8_t entry_revision;      // 10  1
    uint8_t reserved;            // 11
    Le32 table_maximum_size;     // 12
    Le64 table_address;          // 16
};
static_assert(sizeof(SmbiosEntryPoint) == 24);

struct SmbiosHeader {  // 6.1.2
    uint8_t type;
    uint8_t length;  // without the strings
    Le16 handle;
};
static_assert(sizeof(SmbiosHeader) == 4);

struct SmbiosBios {  // 7.1, type 0
    SmbiosHeader header;
    uint8_t vendor;
    uint8_t version;
    Le16 starting_address_segment;  //  6
    uint8_t release_date;           //  8
    uint8_t rom_size;               //  9
    Le64 characteristics;           // 10
    std::array<uint8_t, 2> characteristics_extension;
    uint8_t major_release;  // 20
    uint8_t minor_release;
    uint8_t controller_major_release;
    uint8_t controller_minor_release;
};
static_assert(sizeof(SmbiosBios) == 24);

struct SmbiosSystem {  // 7.2, type 1
    SmbiosHeader header;
    uint8_t manufacturer;
    uint8_t product_name;
    uint8_t version;
    uint8_t serial_number;
    std::array<uint8_t, 16> uuid;  //  8  the first three fields little-endian
    uint8_t wake_up_type;          // 24
    uint8_t sku_number;
    uint8_t family;
};
static_assert(sizeof(SmbiosSystem) == 27);

struct SmbiosBaseboard {  // 7.3, type 2
    SmbiosHeader header;
    uint8_t manufacturer;
    uint8_t product;
    uint8_t version;
    uint8_t serial_number;
    uint8_t asset_tag;  // 8
    uint8_t feature_flags;
    uint8_t location_in_chassis;
    Le16 chassis_handle;  // 11
    uint8_t board_type;   // 13  0x0a: motherboard
    uint8_t contained_object_handles;
};
static_assert(sizeof(SmbiosBaseboard) == 15);

}  // namespace alcove::boot

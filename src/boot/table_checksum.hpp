// SPDX-License-Identifier: Apache-2.0
//
// The checksum of firmware tables: the byte that makes all bytes of a table add up to zero. ACPI 6.5, 5.2.6;
// MultiProcessor Specification 1.4, 4.1 and 4.2. SMBIOS 3.6, 5.2.1 has the same.
#pragma once

#include <cstdint>
#include <numeric>

#include "support/bytes.hpp"

namespace alcove::boot {

// Of a table whose checksum field is still zero.
inline uint8_t table_checksum(ByteView table) {
    return static_cast<uint8_t>(0 - std::accumulate(table.begin(), table.end(), 0U));
}

}  // namespace alcove::boot

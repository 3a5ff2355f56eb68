// SPDX-License-Identifier: Apache-2.0
//
// Where slot_uids come from: as AWS's, milliseconds since 1970 in the upper 48 bits and chance in the lower
// 16 (nitro.md 1.7).
#pragma once

#include "ne/slot_table.hpp"

namespace alcove::ne {

SlotUid make_slot_uid(uint64_t milliseconds_since_1970, uint16_t random);

// From the system's clock and its random numbers.
SlotTable::UidSource system_slot_uids();

}  // namespace alcove::ne

// SPDX-License-Identifier: Apache-2.0
#include "ne/slot_uid.hpp"

#include <chrono>

#include "crypto/random.hpp"

namespace alcove::ne {

SlotUid make_slot_uid(uint64_t milliseconds_since_1970, uint16_t random) {
    return SlotUid{milliseconds_since_1970 << 16 | random};
}

SlotTable::UidSource system_slot_uids() {
    return [] {
        const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
            std::chrono::system_clock::now().time_since_epoch());
        // Without random numbers the table still makes them differ: nothing hangs on their being unknown.
        const auto random = crypto::random_array<2>();
        const uint16_t low = random ? static_cast<uint16_t>((*random)[0] << 8 | (*random)[1]) : uint16_t{0};
        return make_slot_uid(static_cast<uint64_t>(now.count()), low);
    };
}

}  // namespace alcove::ne

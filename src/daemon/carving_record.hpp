// SPDX-License-Identifier: Apache-2.0
//
// What must not be forgotten of a primary VM's enclaves when alcoved is restarted: its slots, what it was
// told last, and in which of its lives. Values only; the rules are ne's.
#pragma once

#include <cstdint>

#include "ne/last_answer.hpp"
#include "ne/slot_table.hpp"

namespace alcove::daemon {

struct CarvingRecord {
    uint32_t life = 0;  // as shim::State::restarts counts them
    ne::SlotTable::Saved slots;
    ne::LastAnswer::Saved last;
};

}  // namespace alcove::daemon

// SPDX-License-Identifier: Apache-2.0
//
// Moves whole regions of RAM between a primary VM's file and an enclave's, chunk by chunk, so that each page
// has one owner all the time and the host's memory in use never grows by more than a chunk (page_mover.hpp).
// What the primary's VMM does meanwhile does not matter: one that kept the region mapped looks at holes.
#pragma once

#include <cstdint>

#include "memory/page_mover.hpp"
#include "support/bits.hpp"
#include "support/result.hpp"

namespace alcove::memory {

struct MoveSizes {
    uint64_t page = 4_KiB;   // of the host memory behind both files
    uint64_t chunk = 2_MiB;  // whole pages
};

// `length` bytes, contents too. After an error (ErrorCode::OutOfMemory: the host has no room for a chunk)
// everything is as it was. A host that ran out in the middle has no room for the way back either, which is
// waited for, half a minute; ErrorCode::MemoryLost after that: a part is `to`'s still, the rest as it was.
Result<void> move_region(FilePart from, FilePart to, uint64_t length, MoveSizes sizes,
                         MoveCounters& counters);

// The enclave's pages go, and `to` has fresh zero pages instead: each chunk is reserved there before it is
// released here. Where the host has no other pages, all of the enclave's are released first and it is tried
// once more; ErrorCode::OutOfMemory after that: the enclave has none left, `to` lacks some, ask again.
Result<void> return_region(FilePart from, FilePart to, uint64_t length, MoveSizes sizes,
                           MoveCounters& counters);

}  // namespace alcove::memory

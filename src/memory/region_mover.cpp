// SPDX-License-Identifier: Apache-2.0
#include "memory/region_mover.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "support/log.hpp"

namespace alcove::memory {

namespace {

// Whoever came between, another's move perhaps, may let go again.
constexpr std::chrono::seconds kPatience(30);
constexpr std::chrono::milliseconds kAskAgain(50);

FilePart at(FilePart part, uint64_t offset) {
    return {part.file, part.offset + offset};
}

// A page that stays does so in a file that nobody else has, until that is closed.
void let_go(FilePart part, uint64_t length) {
    const auto released = release_pages(part, length);
    if (!released) log::warn("pages of an enclave stay: {}", released.error().to_string());
}

// Everything stays where it is, whole, until there is room.
Result<void> move_back(FilePart from, FilePart to, uint64_t size, uint64_t page,
                       std::chrono::steady_clock::time_point deadline, MoveCounters& counters) {
    for (;;) {
        uint64_t moved = 0;
        auto result = move_pages(from, to, size, page, size, moved, counters);
        if (result || result.error().code() != ErrorCode::OutOfMemory ||
            std::chrono::steady_clock::now() >= deadline)
            return result;
        std::this_thread::sleep_for(kAskAgain);
    }
}

}  // namespace

Result<void> move_region(FilePart from, FilePart to, uint64_t length, MoveSizes sizes,
                         MoveCounters& counters) {
    uint64_t moved = 0;
    auto result = move_pages(from, to, length, sizes.page, sizes.chunk, moved, counters);
    if (result) return {};
    // Whatever arrived of the chunk that failed has not left either.
    let_go(at(to, moved), std::min(sizes.chunk, length - moved));
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (moved > 0) {
        const uint64_t size = std::min(sizes.chunk, moved);
        const uint64_t begin = moved - size;
        const auto back = move_back(at(to, begin), at(from, begin), size, sizes.page, deadline, counters);
        if (!back)
            return fail(ErrorCode::MemoryLost, std::to_string(moved) + " bytes could not be moved back (" +
                                                   back.error().to_string() + ") after " +
                                                   result.error().to_string());
        moved = begin;
    }
    return result;
}

Result<void> return_region(FilePart from, FilePart to, uint64_t length, MoveSizes sizes,
                           MoveCounters& counters) {
    bool all_released = false;
    for (uint64_t done = 0; done < length; done += sizes.chunk) {
        const uint64_t size = std::min(sizes.chunk, length - done);
        // The page is there before the enclave's goes, so that nobody else on the host comes between.
        auto reserved = reserve_pages(at(to, done), size);
        if (!reserved && !all_released) {
            all_released = true;
            let_go(at(from, done), length - done);
            reserved = reserve_pages(at(to, done), size);
        }
        TRY(std::move(reserved));
        counters.bytes_cleared += size;
        if (!all_released) let_go(at(from, done), size);
    }
    return {};
}

}  // namespace alcove::memory

// SPDX-License-Identifier: Apache-2.0
//
// Moves pages from one owner's RAM file to another's, so that each page has one owner all the time and the
// host's memory in use stays flat: chunk by chunk room is reserved in the receiver's file, the content is
// copied, and the giver's pages are punched out. What the giver never wrote (holes) is not copied: it is
// zero on both sides. One of the files may be of another process that does what it likes to it meanwhile; it
// can bring about an error here and wrong contents of its own, nothing else.
#pragma once

#include <cstdint>
#include <span>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::memory {

// A part of a RAM file (memfd): whole pages of it.
struct FilePart {
    const Fd& file;
    uint64_t offset;
};

// What was done to the receiver's memory, as often as it was done. No code of ours writes zeros: a page is
// cleared when the kernel gives a fresh one at our order. That it also clears those that are copied into is
// not counted.
struct MoveCounters {
    uint64_t bytes_copied = 0;
    uint64_t bytes_cleared = 0;  // left as fresh zero pages
};

// `page_size` is that of both files. A failure (no memory: ErrorCode::OutOfMemory) leaves chunks before it
// moved and the others untouched; `moved` says how many bytes, so that they can be moved back.
Result<void> move_pages(FilePart from, FilePart to, uint64_t length, uint64_t page_size, uint64_t chunk,
                        uint64_t& moved, MoveCounters& counters);

// Reserves `length` bytes of zero pages in a RAM file, or fails with everything as before.
Result<void> reserve_pages(FilePart part, uint64_t length);
// Gives the pages back to the host; what is read there afterwards is zero.
Result<void> release_pages(FilePart part, uint64_t length);
// Both, so that what was there is gone. After an error some pages are missing.
Result<void> renew_pages(FilePart part, uint64_t length, MoveCounters& counters);

struct FileRange {
    uint64_t offset;
    uint64_t length;
};
// Who moved pages away from a RAM file may be gone with them. When the file has fewer than `expected` bytes
// of pages, these ranges get what they lack, as zero pages; what is there stays as it is. After an error some
// may have come, and it can be asked for again. Looks at one number when nothing is missing.
Result<void> reserve_missing(const Fd& file, uint64_t expected, std::span<const FileRange> ranges);

}  // namespace alcove::memory

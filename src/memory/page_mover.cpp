// SPDX-License-Identifier: Apache-2.0
#include "memory/page_mover.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory/guarded_copy.hpp"
#include "support/bits.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"

namespace alcove::memory {

namespace {

Result<void> allocate(FilePart part, uint64_t length, int mode) {
    auto allocated = sys::allocate(part.file, mode, part.offset, length);
    if (allocated) return {};
    const int reason = allocated.error().errno_value();
    if (reason != ENOSPC && reason != ENOMEM) return allocated;
    return fail_errno(reason, "no memory on this host", ErrorCode::OutOfMemory);
}

// The end of the data, or of the hole, that `offset` lies in; `end` when there is no other before it.
uint64_t seek(const Fd& file, uint64_t offset, uint64_t end, int whence) {
    const off_t found = ::lseek(file.get(), static_cast<off_t>(offset), whence);
    return found < 0 ? end : std::min(end, static_cast<uint64_t>(found));
}

// A hole is zeros, as the receiver's fresh pages are. What is not is copied once, by us: for a call of the
// kernel's it would be many pages, each with a lock and a look-up. The giver's process may punch a page out
// again at any moment.
Result<void> copy(FilePart from, FilePart to, uint64_t length, MoveCounters& counters) {
    const uint64_t end = from.offset + length;
    uint64_t at = seek(from.file, from.offset, end, SEEK_DATA);
    counters.bytes_cleared += at - from.offset;
    if (at == end) return {};
    const auto source = TRY(Mapping::shared_read_only(from.file, length, from.offset));
    const auto target = TRY(Mapping::shared(to.file, length, to.offset));
    while (at < end) {
        const uint64_t data_end = seek(from.file, at, end, SEEK_HOLE);
        const uint64_t size = data_end - at;
        const auto read = source.bytes().subspan(at - from.offset, size);
        const auto written = target.mutable_bytes().subspan(at - from.offset, size);
        TRY(populate_to_read(read));
        TRY(populate_to_write(written));
        TRY(guarded_copy(written, read));
        counters.bytes_copied += size;
        at = seek(from.file, data_end, end, SEEK_DATA);
        counters.bytes_cleared += at - data_end;
    }
    return {};
}

}  // namespace

Result<void> reserve_pages(FilePart part, uint64_t length) {
    auto reserved = allocate(part, length, 0);
    // A part of it may have been found.
    if (!reserved) static_cast<void>(release_pages(part, length).has_value());
    return std::move(reserved).context("reserving memory");
}

Result<void> release_pages(FilePart part, uint64_t length) {
    return allocate(part, length, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

Result<void> renew_pages(FilePart part, uint64_t length, MoveCounters& counters) {
    TRY(release_pages(part, length));
    TRY(reserve_pages(part, length));
    counters.bytes_cleared += length;
    return {};
}

Result<void> reserve_missing(const Fd& file, uint64_t expected, std::span<const FileRange> ranges) {
    constexpr uint64_t kStatBlock = 512;  // stat(2), st_blocks
    const auto status = TRY(sys::stat(file));
    if (static_cast<uint64_t>(status.st_blocks) * kStatBlock >= expected) return {};
    for (const auto& [offset, length] : ranges)
        TRY(allocate({file, offset}, length, 0).context("reserving memory again"));
    return {};
}

Result<void> move_pages(FilePart from, FilePart to, uint64_t length, uint64_t page_size, uint64_t chunk,
                        uint64_t& moved, MoveCounters& counters) {
    ALCOVE_CHECK(is_aligned(from.offset | to.offset | length | chunk, page_size) && chunk > 0,
                 "whole pages are moved");
    for (moved = 0; moved < length;) {
        const uint64_t size = std::min(chunk, length - moved);
        const FilePart source{from.file, from.offset + moved};
        const FilePart target{to.file, to.offset + moved};
        TRY(reserve_pages(target, size));
        TRY(copy(source, target, size, counters));
        TRY(release_pages(source, size));
        moved += size;
    }
    return {};
}

}  // namespace alcove::memory

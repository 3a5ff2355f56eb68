// SPDX-License-Identifier: Apache-2.0
#include "memory/page_mover.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/bits.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"

namespace alcove::memory {

namespace {

constexpr uint64_t kSmallPage = 4_KiB;
constexpr uint64_t kPiece = 256_KiB;  // stays in the cache between reading, looking and writing

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

bool is_zero(const uint8_t* page) {
    // A page is zero when its first byte is, and each byte is like the one before it.
    return page[0] == 0 && std::memcmp(page, page + 1, kSmallPage - 1) == 0;
}

// Where the receiver's pages are written: through the file, which spares the kernel from clearing a page that
// is about to be overwritten whole; files of huge pages can only be mapped. The kernel writes there, too: one
// of the two files is another process's, which may punch a page out again at any moment, and what is an error
// of the call would be the end of this process in an access of its own.
class Receiver {
  public:
    static Result<Receiver> create(FilePart from, FilePart to, uint64_t length, uint64_t page_size) {
        if (page_size == kSmallPage) return Receiver(from, to, {});
        auto mapping = TRY(Mapping::shared(to.file, length, to.offset));
        return Receiver(from, to, std::move(mapping));
    }
    // `bytes` are those at `offset` in the source.
    Result<void> write(uint64_t offset, ByteView bytes) const {
        if (mapping_.data() == nullptr) return sys::write_all_at(to_.file, bytes, to_.offset + offset);
        return sys::read_exact_at(from_.file, mapping_.mutable_bytes().subspan(offset, bytes.size()),
                                  from_.offset + offset);
    }

  private:
    Receiver(FilePart from, FilePart to, Mapping mapping)
        : from_(from), to_(to), mapping_(std::move(mapping)) {}
    FilePart from_;
    FilePart to_;
    Mapping mapping_;
};

// Of `piece`, which stands at `offset` in the source, the pages that are not zero.
Result<void> copy_piece(ByteView piece, uint64_t offset, const Receiver& to, MoveCounters& counters) {
    size_t run = 0;  // begin of the pages that are to be copied
    const auto flush = [&](size_t run_end) -> Result<void> {
        if (run_end == run) return {};
        counters.bytes_copied += run_end - run;
        return to.write(offset + run, piece.subspan(run, run_end - run));
    };
    for (size_t at = 0; at < piece.size(); at += kSmallPage) {
        if (!is_zero(piece.data() + at)) continue;
        TRY(flush(at));
        run = at + kSmallPage;
    }
    return flush(piece.size());
}

// Read through the file, where a hole is zeros and stays a hole.
Result<void> copy(FilePart from, const Receiver& to, uint64_t length, MutableByteView buffer,
                  MoveCounters& counters) {
    const uint64_t end = from.offset + length;
    uint64_t at = seek(from.file, from.offset, end, SEEK_DATA);
    while (at < end) {
        const uint64_t data_end = seek(from.file, at, end, SEEK_HOLE);
        while (at < data_end) {
            const auto piece = buffer.first(std::min<uint64_t>(buffer.size(), data_end - at));
            TRY(sys::read_exact_at(from.file, piece, at));
            TRY(copy_piece(piece, at - from.offset, to, counters));
            at += piece.size();
        }
        at = seek(from.file, data_end, end, SEEK_DATA);
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
    Bytes buffer(std::min({kPiece, chunk, length}));
    for (moved = 0; moved < length;) {
        const uint64_t size = std::min(chunk, length - moved);
        const FilePart source{from.file, from.offset + moved};
        const FilePart target{to.file, to.offset + moved};
        TRY(reserve_pages(target, size));
        const auto receiver = TRY(Receiver::create(source, target, size, page_size));
        TRY(copy(source, receiver, size, buffer, counters));
        TRY(release_pages(source, size));
        moved += size;
    }
    return {};
}

}  // namespace alcove::memory

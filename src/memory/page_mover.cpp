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
// is about to be overwritten whole; files of huge pages can only be mapped.
class Receiver {
  public:
    static Result<Receiver> create(FilePart part, uint64_t length, uint64_t page_size) {
        if (page_size == kSmallPage) return Receiver(part, {});
        auto mapping = TRY(Mapping::shared(part.file, length, part.offset));
        return Receiver(part, std::move(mapping));
    }
    Result<void> write(uint64_t offset, ByteView bytes) const {
        if (mapping_.data() == nullptr) return sys::write_all_at(part_.file, bytes, part_.offset + offset);
        std::memcpy(mapping_.data() + offset, bytes.data(), bytes.size());
        return {};
    }

  private:
    Receiver(FilePart part, Mapping mapping) : part_(part), mapping_(std::move(mapping)) {}
    FilePart part_;
    Mapping mapping_;
};

// The pages of [offset, offset + length) that are not zero.
Result<void> copy(FilePart from, const Receiver& to, uint64_t length, MoveCounters& counters) {
    const auto source = TRY(Mapping::shared_read_only(from.file, length, from.offset));
    const uint64_t end = from.offset + length;
    uint64_t at = seek(from.file, from.offset, end, SEEK_DATA);
    while (at < end) {
        const uint64_t data_end = seek(from.file, at, end, SEEK_HOLE);
        uint64_t run = at;  // begin of the pages that are to be copied
        const auto flush = [&](uint64_t run_end) -> Result<void> {
            if (run_end == run) return {};
            counters.bytes_copied += run_end - run;
            return to.write(run - from.offset, source.bytes().subspan(run - from.offset, run_end - run));
        };
        for (; at < data_end; at += kSmallPage) {
            if (!is_zero(source.data() + (at - from.offset))) continue;
            TRY(flush(at));
            run = at + kSmallPage;
        }
        TRY(flush(data_end));
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

Result<void> move_pages(FilePart from, FilePart to, uint64_t length, uint64_t page_size, uint64_t chunk,
                        uint64_t& moved, MoveCounters& counters) {
    ALCOVE_CHECK(is_aligned(from.offset | to.offset | length | chunk, page_size) && chunk > 0,
                 "whole pages are moved");
    for (moved = 0; moved < length;) {
        const uint64_t size = std::min(chunk, length - moved);
        const FilePart source{from.file, from.offset + moved};
        const FilePart target{to.file, to.offset + moved};
        TRY(reserve_pages(target, size));
        const auto receiver = TRY(Receiver::create(target, size, page_size));
        TRY(copy(source, receiver, size, counters));
        TRY(release_pages(source, size));
        moved += size;
    }
    return {};
}

}  // namespace alcove::memory

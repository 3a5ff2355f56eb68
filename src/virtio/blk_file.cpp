// SPDX-License-Identifier: Apache-2.0
#include "virtio/blk_file.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "memory/guest_io.hpp"
#include "support/checked.hpp"
#include "support/system.hpp"
#include "virtio/blk_spec.hpp"

namespace alcove::virtio {

namespace {

uint64_t total(std::span<const memory::GuestSlice> slices) {
    uint64_t bytes = 0;
    for (const auto& slice : slices)
        bytes += slice.size();
    return bytes;
}

// What a file system or device does not offer, as against what failed.
bool is_unsupported(const Error& error) {
    const int code = error.errno_value();
    return code == EOPNOTSUPP || code == ENOSYS || code == ENODEV || code == EINVAL;
}

}  // namespace

Result<BlockFile> BlockFile::create(Fd file, Access access) {
    const uint64_t size = TRY(sys::file_size(file));
    return BlockFile(std::move(file), access, size / blk::kSectorSize);
}

Result<void> BlockFile::check(uint64_t sector, uint64_t bytes) const {
    if (bytes % blk::kSectorSize != 0) return fail(ErrorCode::InvalidArgument, "a disk has whole sectors");
    if (!range_within(sector, bytes / blk::kSectorSize, sectors_))
        return fail(ErrorCode::InvalidArgument, "the disk ends before that sector");
    return {};
}

Result<void> BlockFile::check_writable() const {
    if (is_read_only()) return fail(ErrorCode::PermissionDenied, "the disk is for reading only");
    return {};
}

Result<void> BlockFile::read(uint64_t sector, std::span<const memory::GuestSlice> into) const {
    TRY(check(sector, total(into)));
    return memory::read_file_into(file_, sector * blk::kSectorSize, into);
}

Result<void> BlockFile::write(uint64_t sector, std::span<const memory::GuestSlice> from) const {
    TRY(check_writable());
    TRY(check(sector, total(from)));
    return memory::write_file_from(file_, sector * blk::kSectorSize, from);
}

Result<void> BlockFile::flush() const {
    if (is_read_only()) return {};
    if (::fdatasync(file_.get()) < 0) return fail_errno(errno, "fdatasync");
    return {};
}

Result<void> BlockFile::discard(uint64_t sector, uint64_t count) const {
    TRY(check_writable());
    if (!range_within(sector, count, sectors_)) return fail(ErrorCode::InvalidArgument, "not on the disk");
    if (count == 0) return {};
    const auto result = sys::allocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                      sector * blk::kSectorSize, count * blk::kSectorSize);
    // A hint that the host cannot use is no failure.
    if (!result && !is_unsupported(result.error())) return Failure{result.error()};
    return {};
}

Result<void> BlockFile::write_zeroes(uint64_t sector, uint64_t count, Zeroing how) const {
    TRY(check_writable());
    if (!range_within(sector, count, sectors_)) return fail(ErrorCode::InvalidArgument, "not on the disk");
    if (count == 0) return {};
    uint64_t offset = sector * blk::kSectorSize;
    uint64_t left = count * blk::kSectorSize;
    const int mode =
        (how == Zeroing::MayUnmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE;
    const auto result = sys::allocate(file_, mode, offset, left);
    if (result) return {};
    if (!is_unsupported(result.error())) return Failure{result.error()};
    const Bytes zeros(std::min<uint64_t>(left, 256_KiB));
    while (left > 0) {
        const uint64_t part = std::min<uint64_t>(left, zeros.size());
        TRY(sys::write_all_at(file_, ByteView(zeros).first(part), offset));
        offset += part;
        left -= part;
    }
    return {};
}

}  // namespace alcove::virtio

// SPDX-License-Identifier: Apache-2.0
//
// A disk in a file (or a block device of the host), raw: sector n is at byte 512 n. Every operation checks
// that it lies on the disk, and blocks until it is done; all may be called from several threads at once.
#pragma once

#include <cstdint>
#include <span>

#include "memory/guest_memory.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::virtio {

class BlockFile {
  public:
    enum class Access { ReadOnly, ReadWrite };
    // The descriptor is open for what `access` says. A size that is no multiple of 512 loses its last bytes.
    static Result<BlockFile> create(Fd file, Access access);

    uint64_t sectors() const { return sectors_; }
    bool is_read_only() const { return access_ == Access::ReadOnly; }

    // ErrorCode::InvalidArgument for what is not on the disk, PermissionDenied for writing to one that is
    // only for reading, SystemCall for what the host refuses.
    Result<void> read(uint64_t sector, std::span<const memory::GuestSlice> into) const;
    Result<void> write(uint64_t sector, std::span<const memory::GuestSlice> from) const;
    // What was written before is on the host's disk when this returns.
    Result<void> flush() const;
    // The sectors' contents are of no more interest; they may or may not be given back to the host.
    Result<void> discard(uint64_t sector, uint64_t count) const;
    enum class Zeroing { KeepSpace, MayUnmap };
    Result<void> write_zeroes(uint64_t sector, uint64_t count, Zeroing how) const;

  private:
    BlockFile(Fd file, Access access, uint64_t sectors)
        : file_(std::move(file)), access_(access), sectors_(sectors) {}
    Result<void> check(uint64_t sector, uint64_t bytes) const;
    Result<void> check_writable() const;

    Fd file_;
    Access access_;
    uint64_t sectors_;
};

}  // namespace alcove::virtio

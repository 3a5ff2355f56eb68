// SPDX-License-Identifier: Apache-2.0
//
// System calls straight between descriptors and guest RAM: the kernel copies, no code of ours looks.
#pragma once

#include <span>

#include "memory/guest_memory.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"
#include "support/system.hpp"

namespace alcove::memory {

// At most this many slices take part in one call; the rest is left for the next.
inline constexpr size_t kMaxSlicesPerCall = 64;

// Into guest RAM. 0 bytes without would_block is the end of the stream.
Result<sys::Transfer> read_into(const Fd& fd, std::span<const GuestSlice> slices);
// Out of guest RAM. Sockets only; never raises SIGPIPE.
Result<sys::Transfer> send_from(const Fd& socket, std::span<const GuestSlice> slices);
// From a file at an offset, whole: ErrorCode::Truncated when it ends early.
Result<void> read_file_into(const Fd& fd, uint64_t offset, const GuestSlice& slice);
// Between a file from an offset on and the slices in their order, whole; ErrorCode::Truncated when a file
// that is read ends early. Several threads may use one descriptor.
Result<void> read_file_into(const Fd& fd, uint64_t offset, std::span<const GuestSlice> slices);
Result<void> write_file_from(const Fd& fd, uint64_t offset, std::span<const GuestSlice> slices);

}  // namespace alcove::memory

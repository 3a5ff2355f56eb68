// SPDX-License-Identifier: Apache-2.0
//
// System calls, wrapped once. Every descriptor made here is close-on-exec; a call interrupted by a signal
// is repeated; a refusal becomes an Error with the errno and the object's name.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <sys/types.h>

#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::sys {

Result<Fd> open(const std::string& path, int flags, mode_t mode = 0600);
Result<Fd> open_at(const Fd& directory, const std::string& path, int flags, mode_t mode = 0600);
Result<Fd> duplicate(int fd);
Result<struct stat> stat(const Fd& fd);
Result<uint64_t> file_size(const Fd& fd);  // regular files, memfds and block devices

// Memory as a file, sealable. `flags` are MFD_HUGETLB and the like.
Result<Fd> memfd(const std::string& name, unsigned flags = 0);
Result<void> truncate(const Fd& fd, uint64_t size);
Result<void> allocate(const Fd& fd, int mode, uint64_t offset, uint64_t length);
Result<void> add_seals(const Fd& fd, int seals);

// The whole span or an Error; a file that ends early is ErrorCode::Truncated.
Result<void> read_exact(const Fd& fd, MutableByteView into);
Result<void> read_exact_at(const Fd& fd, MutableByteView into, uint64_t offset);
Result<void> write_all(const Fd& fd, ByteView from);
Result<void> write_all_at(const Fd& fd, ByteView from, uint64_t offset);
// One call: 0 at the end of the stream. `would_block` turns EAGAIN into nothing read or written.
struct Transfer {
    size_t bytes = 0;
    bool would_block = false;
};
Result<Transfer> read_some(const Fd& fd, MutableByteView into);
Result<Transfer> write_some(const Fd& fd, ByteView from);  // EPIPE is an Error, never a signal for sockets

Result<Bytes> read_file(const std::string& path, uint64_t limit);
// Writes beside the target and renames, so that a reader sees the old or the new content whole.
Result<void> replace_file(const std::string& path, ByteView content, mode_t mode);
Result<void> make_directories(const std::string& path, mode_t mode = 0755);

Result<void> set_non_blocking(const Fd& fd, bool on);

struct Pair {
    Fd first;
    Fd second;
};
// SOCK_SEQPACKET, SOCK_STREAM ...
Result<Pair> socket_pair(int type);
Result<Pair> pipe(int flags = 0);  // first reads, second writes

// Unix sockets. A path over 107 bytes is ErrorCode::PathTooLong with the limit in the message.
Result<Fd> unix_listen(const std::string& path, int type, mode_t mode, int backlog = 128);
// With SOCK_NONBLOCK in the type: ErrorCode::Busy where the listener's queue is full.
Result<Fd> unix_connect(const std::string& path, int type);
Result<Fd> accept(const Fd& listener);

struct PeerCredentials {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};
Result<PeerCredentials> peer_credentials(const Fd& socket);

}  // namespace alcove::sys

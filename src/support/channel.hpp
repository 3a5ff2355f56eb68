// SPDX-License-Identifier: Apache-2.0
//
// Messages between our own processes: one SOCK_SEQPACKET datagram each, with descriptors beside it. The
// kernel keeps the boundaries, so there is no framing to get wrong; a message over the limit, or with more
// descriptors than asked for, is an error and its descriptors are closed.
#pragma once

#include <chrono>
#include <vector>

#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove {

class Channel {
  public:
    static constexpr size_t kMaxMessage = 64 * 1024;
    static constexpr size_t kMaxDescriptors = 64;

    struct Message {
        Bytes data;
        std::vector<Fd> descriptors;
    };

    Channel() = default;
    explicit Channel(Fd socket) : socket_(std::move(socket)) {}

    // Blocks (or, on a non-blocking socket, fails with ErrorCode::Busy) while the peer's queue is full.
    Result<void> send(ByteView data, const std::vector<int>& descriptors = {}) const;
    // ErrorCode::ConnectionLost when the peer is gone; ErrorCode::Busy when nothing is there and the socket
    // does not block.
    Result<Message> receive() const;
    // ErrorCode::Timeout when nothing came in time.
    Result<Message> receive_within(std::chrono::milliseconds timeout) const;

    const Fd& fd() const { return socket_; }
    Fd release() { return std::move(socket_); }

  private:
    Fd socket_;
};

}  // namespace alcove

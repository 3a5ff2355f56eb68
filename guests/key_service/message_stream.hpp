// SPDX-License-Identifier: Apache-2.0
//
// Messages on a byte stream: four bytes of length, big-endian, then the message. Every wait has a limit, so
// that a peer that stops in the middle costs a connection and no more.
#pragma once

#include <chrono>
#include <optional>

#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::key_service {

class MessageStream {
  public:
    // One socket, or two descriptors such as standard input and output. They become non-blocking.
    static Result<MessageStream> create(Fd socket);
    static Result<MessageStream> create(Fd in, Fd out);

    // The next message whole, at most kMessageLimit bytes; nothing when the peer closed between two messages.
    // ErrorCode::Timeout when it is not complete within `limit`.
    Result<std::optional<Bytes>> receive(std::chrono::milliseconds limit);

    Result<void> send(ByteView message, std::chrono::milliseconds limit);

    // One line without its newline, `longest` bytes at most; for the greeting that comes before the first
    // message.
    Result<std::string> receive_line(size_t longest, std::chrono::milliseconds limit);
    Result<void> send_raw(ByteView bytes, std::chrono::milliseconds limit);

  private:
    MessageStream(Fd in, Fd out) : in_(std::move(in)), out_(std::move(out)) {}

    using Deadline = std::chrono::steady_clock::time_point;
    // Fills `into`; fewer bytes only where the stream ends.
    Result<size_t> receive_bytes(MutableByteView into, Deadline deadline);

    Fd in_;
    Fd out_;  // not open when in_ is a socket for both directions

    const Fd& out() const { return out_.is_open() ? out_ : in_; }
};

}  // namespace alcove::key_service

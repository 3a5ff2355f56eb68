// SPDX-License-Identifier: Apache-2.0
//
// A stream in both directions that ends in each of them apart: a socket, or a pair of pipes. Blocking; it
// belongs to one thread.
#pragma once

#include <string>

#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::probe {

class Channel {
  public:
    static Channel over_socket(Fd socket) { return Channel(std::move(socket), Fd()); }
    static Channel over_pipes(Fd in, Fd out) { return Channel(std::move(in), std::move(out)); }

    // Up to the newline, which is taken and not given. ErrorCode::Truncated when the stream ends before it,
    // ErrorCode::LimitExceeded when it does not come within `limit` bytes.
    Result<std::string> read_line(size_t limit);
    // 0 at the end.
    Result<size_t> read(MutableByteView into);
    Result<void> write(ByteView bytes);
    // The other side finds the end of the stream; reading goes on.
    void end_writing();

  private:
    Channel(Fd in, Fd out) : in_(std::move(in)), out_(std::move(out)), has_pipes_(out_.is_open()) {}

    Fd in_;
    Fd out_;  // not open when in_ is a socket
    bool has_pipes_;
    Bytes ahead_;  // read behind a line, and not yet given
};

}  // namespace alcove::probe

// SPDX-License-Identifier: Apache-2.0
//
// Bytes one way between two non-blocking sockets, through a buffer of fixed size: what the other side does
// not take is not read.
#pragma once

#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::egress {

class Flow {
  public:
    static constexpr size_t kBuffer = 64 * 1024;

    // Goes first, before anything that is read.
    void prepend(ByteView bytes);

    // As far as it goes without waiting, for a few buffers at most. An end is passed on (shutdown). An error
    // of either socket is the end of both ways. The count is what came through.
    Result<size_t> pump(const Fd& from, const Fd& to);

    bool wants_input() const { return !input_ended_ && begin_ == end_; }
    bool wants_output() const { return begin_ != end_; }
    bool is_over() const { return input_ended_ && begin_ == end_; }

  private:
    Result<bool> fill(const Fd& from);
    Result<size_t> drain(const Fd& to);

    Bytes buffer_ = Bytes(kBuffer);  // unsent bytes are [begin_, end_)
    size_t begin_ = 0;
    size_t end_ = 0;
    bool input_ended_ = false;
};

}  // namespace alcove::egress

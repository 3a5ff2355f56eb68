// SPDX-License-Identifier: Apache-2.0
#include "egress/flow.hpp"

#include <algorithm>

#include <sys/socket.h>

#include "support/check.hpp"
#include "support/system.hpp"

namespace alcove::egress {

namespace {

constexpr int kBuffersAtOnce = 4;  // then others have their turn

}  // namespace

void Flow::prepend(ByteView bytes) {
    ALCOVE_CHECK(begin_ == end_ && bytes.size() <= buffer_.size(), "nothing has been read yet");
    std::ranges::copy(bytes, buffer_.begin());
    begin_ = 0;
    end_ = bytes.size();
}

// Whether there is something to send.
Result<bool> Flow::fill(const Fd& from) {
    if (begin_ != end_) return true;
    if (input_ended_) return false;
    const auto got = TRY(sys::read_some(from, buffer_));
    if (got.would_block) return false;
    begin_ = 0;
    end_ = got.bytes;
    input_ended_ = got.bytes == 0;
    return got.bytes != 0;
}

Result<size_t> Flow::drain(const Fd& to) {
    const auto sent = TRY(sys::write_some(to, ByteView(buffer_).subspan(begin_, end_ - begin_)));
    begin_ += sent.bytes;
    return sent.would_block ? 0 : sent.bytes;
}

Result<size_t> Flow::pump(const Fd& from, const Fd& to) {
    size_t passed = 0;
    const bool was_over = is_over();
    for (int turn = 0; turn < kBuffersAtOnce; ++turn) {
        const bool has_bytes = TRY(fill(from));
        if (!has_bytes) break;
        const size_t sent = TRY(drain(to));
        passed += sent;
        if (begin_ != end_) break;
    }
    if (is_over() && !was_over) ::shutdown(to.get(), SHUT_WR);
    return passed;
}

}  // namespace alcove::egress

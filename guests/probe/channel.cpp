// SPDX-License-Identifier: Apache-2.0
#include "probe/channel.hpp"

#include <algorithm>

#include <sys/socket.h>

#include "support/system.hpp"

namespace alcove::probe {

Result<std::string> Channel::read_line(size_t limit) {
    Bytes line;
    Bytes piece(limit);
    for (;;) {
        const size_t count = TRY(read(piece));
        if (count == 0) return fail(ErrorCode::Truncated, "the stream ends before a line does");
        const auto end = piece.begin() + static_cast<ptrdiff_t>(count);
        const auto newline = std::find(piece.begin(), end, '\n');
        line.insert(line.end(), piece.begin(), newline);
        if (line.size() > limit) return fail(ErrorCode::LimitExceeded, "a line is too long");
        if (newline == end) continue;
        // read() has given what was ahead first, so the rest of the piece stands before what is left of that.
        ahead_.insert(ahead_.begin(), newline + 1, end);
        return std::string(as_text(line));
    }
}

Result<size_t> Channel::read(MutableByteView into) {
    if (!ahead_.empty()) {
        const size_t count = std::min(into.size(), ahead_.size());
        const auto end = ahead_.begin() + static_cast<ptrdiff_t>(count);
        std::copy(ahead_.begin(), end, into.begin());
        ahead_.erase(ahead_.begin(), end);
        return count;
    }
    const sys::Transfer transfer = TRY(sys::read_some(in_, into));
    return transfer.bytes;
}

Result<void> Channel::write(ByteView bytes) {
    return sys::write_all(has_pipes_ ? out_ : in_, bytes);
}

void Channel::end_writing() {
    if (has_pipes_) {
        out_.reset();
    } else {
        // It fails only when the other side is gone already.
        shutdown(in_.get(), SHUT_WR);
    }
}

}  // namespace alcove::probe

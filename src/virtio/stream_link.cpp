// SPDX-License-Identifier: Apache-2.0
#include "virtio/stream_link.hpp"

#include <algorithm>
#include <cerrno>

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "support/endian.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::virtio {

StreamLink::StreamLink(EventLoop& loop, Fd socket)
    : DescriptorLink(loop, std::move(socket)), incoming_(2 * (kLengthSize + kMaxFrame)) {}

Result<std::unique_ptr<StreamLink>> StreamLink::create(EventLoop& loop, Fd socket) {
    std::unique_ptr<StreamLink> link(new StreamLink(loop, std::move(socket)));
    TRY(link->start());
    return link;
}

bool StreamLink::send(ByteView frame) {
    if (!is_up()) return true;  // lost, as with a cable pulled out
    if (!outgoing_.empty()) return false;
    Be32 length = static_cast<uint32_t>(frame.size());
    iovec parts[] = {{.iov_base = &length, .iov_len = sizeof length},
                     {.iov_base = const_cast<uint8_t*>(frame.data()), .iov_len = frame.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(fd().get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN) {
        want_room(true);
        return false;
    }
    if (sent < 0) {
        close();
        return true;
    }
    const auto count = static_cast<size_t>(sent);
    if (count == sizeof length + frame.size()) return true;
    // Part of it is out, so it counts as taken: the rest follows before anything else does.
    const auto prefix = object_bytes(length);
    if (count < prefix.size()) outgoing_.assign(prefix.begin() + static_cast<ptrdiff_t>(count), prefix.end());
    const size_t from_frame = count < prefix.size() ? 0 : count - prefix.size();
    outgoing_.insert(outgoing_.end(), frame.begin() + static_cast<ptrdiff_t>(from_frame), frame.end());
    want_room(true);
    return true;
}

bool StreamLink::continue_sending() {
    while (!outgoing_.empty()) {
        const ssize_t sent =
            ::send(fd().get(), outgoing_.data(), outgoing_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) return false;
        if (sent < 0) {
            outgoing_.clear();
            close();
            return true;
        }
        outgoing_.erase(outgoing_.begin(), outgoing_.begin() + sent);
    }
    return true;
}

std::optional<size_t> StreamLink::whole_frame() {
    const ByteView unread = ByteView(incoming_).subspan(begin_, end_ - begin_);
    const auto length = read_object<Be32>(unread);
    if (!length) return std::nullopt;
    if (*length < kMinFrame || *length > kMaxFrame) {
        log::warn("network: a frame of {} bytes on the stream; the link is closed",
                  static_cast<uint32_t>(*length));
        close();
        return std::nullopt;
    }
    if (unread.size() - kLengthSize < *length) return std::nullopt;
    return *length;
}

// False when nothing more is there.
bool StreamLink::fill() {
    if (!is_up()) return false;
    std::copy(incoming_.begin() + static_cast<ptrdiff_t>(begin_),
              incoming_.begin() + static_cast<ptrdiff_t>(end_), incoming_.begin());
    end_ -= begin_;
    begin_ = 0;
    const auto got = sys::read_some(fd(), MutableByteView(incoming_).subspan(end_));
    if (got && got->would_block) return false;
    if (!got || got->bytes == 0) {
        close();
        return false;
    }
    end_ += got->bytes;
    return true;
}

std::optional<size_t> StreamLink::receive(MutableByteView into) {
    auto length = whole_frame();
    if (!length && fill()) length = whole_frame();
    if (!length) return std::nullopt;
    std::copy_n(incoming_.begin() + static_cast<ptrdiff_t>(begin_ + kLengthSize), *length, into.begin());
    begin_ += kLengthSize + *length;
    return length;
}

// ---- handing on

bool StreamLink::wait_for(short events, Clock::time_point deadline) const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (!is_up() || left.count() <= 0) return false;
    pollfd waiting{.fd = fd().get(), .events = events, .revents = 0};
    ::poll(&waiting, 1, static_cast<int>(left.count()));
    return true;
}

bool StreamLink::finish_sending(Clock::time_point deadline) {
    while (!continue_sending())
        if (!wait_for(POLLOUT, deadline)) return false;
    return is_up();
}

bool StreamLink::receive_until(size_t count, Clock::time_point deadline) {
    while (end_ - begin_ < count) {
        const auto into = MutableByteView(incoming_).subspan(end_, count - (end_ - begin_));
        const auto got = sys::read_some(fd(), into);
        if (!got || (got->bytes == 0 && !got->would_block)) return false;
        if (got->would_block && !wait_for(POLLIN, deadline)) return false;
        end_ += got->bytes;
    }
    return true;
}

// Frames that nobody took are lost; one of which a part was read is read to its end, and not further.
bool StreamLink::finish_receiving(Clock::time_point deadline) {
    while (const auto length = whole_frame())
        begin_ += kLengthSize + *length;
    if (!is_up()) return false;
    if (begin_ == end_) return true;
    std::copy(incoming_.begin() + static_cast<ptrdiff_t>(begin_),
              incoming_.begin() + static_cast<ptrdiff_t>(end_), incoming_.begin());
    end_ -= begin_;
    begin_ = 0;
    if (!receive_until(kLengthSize, deadline)) return false;
    const size_t length = *read_object<Be32>(incoming_);
    if (length < kMinFrame || length > kMaxFrame) return false;
    return receive_until(kLengthSize + length, deadline);
}

void StreamLink::hand_on() {
    if (!is_up()) return;
    const auto deadline = Clock::now() + kHandOnPatience;
    const bool is_clean = finish_sending(deadline) && finish_receiving(deadline);
    if (!is_up()) return;
    // Nobody could tell one frame from the next any more.
    if (!is_clean) ::shutdown(fd().get(), SHUT_RDWR);
    let_go();
}

}  // namespace alcove::virtio

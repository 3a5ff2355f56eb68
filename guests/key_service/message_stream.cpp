// SPDX-License-Identifier: Apache-2.0
#include "key_service/message_stream.hpp"

#include <algorithm>
#include <cerrno>
#include <string>

#include <poll.h>

#include "key_service/protocol.hpp"
#include "support/endian.hpp"
#include "support/system.hpp"

namespace alcove::key_service {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// The peer's end shows in the read or write that follows.
Result<void> wait_until_ready(const Fd& fd, short events, steady_clock::time_point deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
        if (left <= milliseconds::zero())
            return fail(ErrorCode::Timeout, "the other side did not go on in time");
        pollfd entry{.fd = fd.get(), .events = events, .revents = 0};
        const int count = poll(&entry, 1, static_cast<int>(std::min(left, milliseconds(60'000)).count()));
        if (count > 0) return {};
        if (count < 0 && errno != EINTR) return fail_errno(errno, "poll");
    }
}

Failure ended_early() {
    return fail(ErrorCode::ConnectionLost, "the other side closed in the middle of a message");
}

}  // namespace

Result<MessageStream> MessageStream::create(Fd socket) {
    TRY(sys::set_non_blocking(socket, true));
    return MessageStream(std::move(socket), Fd());
}

Result<MessageStream> MessageStream::create(Fd in, Fd out) {
    TRY(sys::set_non_blocking(in, true));
    TRY(sys::set_non_blocking(out, true));
    return MessageStream(std::move(in), std::move(out));
}

Result<size_t> MessageStream::receive_bytes(MutableByteView into, Deadline deadline) {
    size_t received = 0;
    while (received < into.size()) {
        const auto transfer = TRY(sys::read_some(in_, into.subspan(received)));
        if (transfer.would_block) {
            TRY(wait_until_ready(in_, POLLIN, deadline));
            continue;
        }
        if (transfer.bytes == 0) break;
        received += transfer.bytes;
    }
    return received;
}

Result<std::optional<Bytes>> MessageStream::receive(milliseconds limit) {
    const auto deadline = steady_clock::now() + limit;
    std::array<uint8_t, sizeof(Be32)> head{};
    const size_t head_received = TRY(receive_bytes(head, deadline));
    if (head_received == 0) return std::optional<Bytes>();
    if (head_received < head.size()) return ended_early();

    const uint32_t length = *read_object<Be32>(head);  // the array has just that size
    if (length > kMessageLimit)
        return fail(ErrorCode::InvalidMessage, "a message of " + std::to_string(length) + " bytes");
    Bytes message(length);
    const size_t received = TRY(receive_bytes(message, deadline));
    if (received < message.size()) return ended_early();
    return std::optional<Bytes>(std::move(message));
}

Result<void> MessageStream::send(ByteView message, milliseconds limit) {
    const Be32 length(static_cast<uint32_t>(message.size()));
    Bytes framed = to_bytes(object_bytes(length));
    framed.insert(framed.end(), message.begin(), message.end());
    return send_raw(framed, limit);
}

Result<void> MessageStream::send_raw(ByteView bytes, milliseconds limit) {
    const auto deadline = steady_clock::now() + limit;
    while (!bytes.empty()) {
        const auto transfer = TRY(sys::write_some(out(), bytes));
        if (transfer.would_block) TRY(wait_until_ready(out(), POLLOUT, deadline));
        bytes = bytes.subspan(transfer.bytes);
    }
    return {};
}

Result<std::string> MessageStream::receive_line(size_t longest, milliseconds limit) {
    const auto deadline = steady_clock::now() + limit;
    std::string line;
    for (;;) {
        // Byte by byte: what follows the line belongs to the first message.
        uint8_t byte = 0;
        const size_t received = TRY(receive_bytes({&byte, 1}, deadline));
        if (received == 0) return ended_early();
        if (byte == '\n') return line;
        if (line.size() == longest) return fail(ErrorCode::InvalidMessage, "the line is too long");
        line.push_back(static_cast<char>(byte));
    }
}

}  // namespace alcove::key_service

// SPDX-License-Identifier: Apache-2.0
#include "support/channel.hpp"

#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>

namespace alcove {

Result<void> Channel::send(ByteView data, const std::vector<int>& descriptors) const {
    ALCOVE_CHECK(!data.empty() && data.size() <= kMaxMessage, "a message has 1 to 65536 bytes");
    ALCOVE_CHECK(descriptors.size() <= kMaxDescriptors, "a message has at most 64 descriptors");
    iovec part{.iov_base = const_cast<uint8_t*>(data.data()), .iov_len = data.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) uint8_t control[CMSG_SPACE(kMaxDescriptors * sizeof(int))] = {};
    if (!descriptors.empty()) {
        const size_t size = descriptors.size() * sizeof(int);
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(size);
        cmsghdr* rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(size);
        std::memcpy(CMSG_DATA(rights), descriptors.data(), size);
    }
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN) return fail(ErrorCode::Busy, "the peer's queue is full");
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
        return fail(ErrorCode::ConnectionLost, "the peer is gone");
    if (sent < 0) return fail_errno(errno, "sendmsg");
    return {};
}

Result<Channel::Message> Channel::receive() const {
    Message message;
    message.data.resize(kMaxMessage);
    iovec part{.iov_base = message.data.data(), .iov_len = message.data.size()};
    alignas(cmsghdr) uint8_t control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    ssize_t count = 0;
    do {
        count = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    if (count < 0 && errno == EAGAIN) return fail(ErrorCode::Busy, "no message");
    if (count < 0 && errno == ECONNRESET) return fail(ErrorCode::ConnectionLost, "the peer is gone");
    if (count < 0) return fail_errno(errno, "recvmsg");
    for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
        if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
        const size_t fds = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < fds; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(item) + i * sizeof(int), sizeof fd);
            message.descriptors.emplace_back(fd);
        }
    }
    if (count == 0) return fail(ErrorCode::ConnectionLost, "the peer is gone");
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        return fail(ErrorCode::InvalidMessage, "a message is larger than the protocol allows");
    message.data.resize(static_cast<size_t>(count));
    return message;
}

Result<Channel::Message> Channel::receive_within(std::chrono::milliseconds timeout) const {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (true) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() < 0) return fail(ErrorCode::Timeout, "no answer in time");
        pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
        const int ready = ::poll(&waiting, 1, static_cast<int>(left.count()));
        if (ready < 0 && errno != EINTR) return fail_errno(errno, "poll");
        if (ready > 0) return receive();
    }
}

}  // namespace alcove

// SPDX-License-Identifier: Apache-2.0
#include "memory/guest_io.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "memory/guest_slice_access.hpp"

namespace alcove::memory {

namespace {

struct Vector {
    std::array<iovec, kMaxSlicesPerCall> parts;
    size_t count;
};

Vector make_vector(std::span<const GuestSlice> slices) {
    Vector vector{.parts = {}, .count = std::min(slices.size(), kMaxSlicesPerCall)};
    for (size_t i = 0; i < vector.count; ++i)
        vector.parts[i] = {.iov_base = GuestSliceAccess::data(slices[i]), .iov_len = slices[i].size()};
    return vector;
}

Result<sys::Transfer> transferred(ssize_t count, const char* call) {
    if (count < 0 && errno == EAGAIN) return sys::Transfer{.bytes = 0, .would_block = true};
    if (count < 0 && (errno == EPIPE || errno == ECONNRESET))
        return fail_errno(errno, call, ErrorCode::ConnectionLost);
    if (count < 0) return fail_errno(errno, call);
    return sys::Transfer{.bytes = static_cast<size_t>(count)};
}

// `call` is preadv or pwritev.
template <typename Call>
Result<void> transfer_whole(const Fd& fd, uint64_t offset, std::span<const GuestSlice> slices,
                            const char* name, Call call) {
    size_t done = 0;  // of the first slice
    while (true) {
        while (!slices.empty() && done >= slices.front().size()) {
            done -= slices.front().size();
            slices = slices.subspan(1);
        }
        if (slices.empty()) return {};
        auto vector = make_vector(slices);
        auto& first = vector.parts.front();
        first = {.iov_base = static_cast<uint8_t*>(first.iov_base) + done, .iov_len = first.iov_len - done};
        const ssize_t count =
            call(fd.get(), vector.parts.data(), static_cast<int>(vector.count), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno(errno, name);
        if (count == 0) return fail(ErrorCode::Truncated, "file ends early");
        offset += static_cast<uint64_t>(count);
        done += static_cast<size_t>(count);
    }
}

}  // namespace

Result<sys::Transfer> read_into(const Fd& fd, std::span<const GuestSlice> slices) {
    const auto vector = make_vector(slices);
    ssize_t count = 0;
    do {
        count = ::readv(fd.get(), vector.parts.data(), static_cast<int>(vector.count));
    } while (count < 0 && errno == EINTR);
    return transferred(count, "readv");
}

Result<sys::Transfer> send_from(const Fd& socket, std::span<const GuestSlice> slices) {
    auto vector = make_vector(slices);
    msghdr message{};
    message.msg_iov = vector.parts.data();
    message.msg_iovlen = vector.count;
    ssize_t count = 0;
    do {
        count = ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    return transferred(count, "sendmsg");
}

Result<void> read_file_into(const Fd& fd, uint64_t offset, const GuestSlice& slice) {
    size_t done = 0;
    while (done < slice.size()) {
        const ssize_t count = ::pread(fd.get(), GuestSliceAccess::data(slice) + done, slice.size() - done,
                                      static_cast<off_t>(offset + done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno(errno, "pread");
        if (count == 0) return fail(ErrorCode::Truncated, "file ends early");
        done += static_cast<size_t>(count);
    }
    return {};
}

Result<void> read_file_into(const Fd& fd, uint64_t offset, std::span<const GuestSlice> slices) {
    return transfer_whole(fd, offset, slices, "preadv", ::preadv);
}

Result<void> write_file_from(const Fd& fd, uint64_t offset, std::span<const GuestSlice> slices) {
    return transfer_whole(fd, offset, slices, "pwritev", ::pwritev);
}

}  // namespace alcove::memory

// SPDX-License-Identifier: Apache-2.0
#include "support/system.hpp"

#include <cerrno>
#include <filesystem>
#include <limits>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace alcove::sys {

namespace {

// Repeats a call for as long as signals interrupt it.
template <typename Call>
auto uninterrupted(Call call) {
    auto result = call();
    while (result < 0 && errno == EINTR)
        result = call();
    return result;
}

ErrorCode code_of(int errno_value) {
    switch (errno_value) {
        case ENOENT:
            return ErrorCode::NotFound;
        case EEXIST:
            return ErrorCode::AlreadyExists;
        case EACCES:
        case EPERM:
            return ErrorCode::PermissionDenied;
        case ENOMEM:
            return ErrorCode::OutOfMemory;
        case ENOSPC:
            return ErrorCode::NoSpace;
        case EPIPE:
        case ECONNRESET:
            return ErrorCode::ConnectionLost;
        default:
            return ErrorCode::SystemCall;
    }
}

Failure refused(std::string what) {
    const int errno_value = errno;
    return fail_errno(errno_value, std::move(what), code_of(errno_value));
}

Result<void> check(int result, std::string what) {
    if (result < 0) return refused(std::move(what));
    return {};
}

Result<sockaddr_un> unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return fail(ErrorCode::PathTooLong, "socket path '" + path + "' has " + std::to_string(path.size()) +
                                                " bytes, a Unix socket's may have 1 to 107");
    path.copy(address.sun_path, path.size());
    return address;
}

}  // namespace

Result<Fd> open(const std::string& path, int flags, mode_t mode) {
    Fd fd(uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); }));
    if (!fd.is_open()) return refused("open " + path);
    return fd;
}

Result<Fd> open_at(const Fd& directory, const std::string& path, int flags, mode_t mode) {
    Fd fd(uninterrupted([&] { return ::openat(directory.get(), path.c_str(), flags | O_CLOEXEC, mode); }));
    if (!fd.is_open()) return refused("open " + path);
    return fd;
}

Result<Fd> duplicate(int fd) {
    Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!copy.is_open()) return refused("duplicate descriptor " + std::to_string(fd));
    return copy;
}

Result<struct stat> stat(const Fd& fd) {
    struct stat info {};
    TRY(check(::fstat(fd.get(), &info), "fstat"));
    return info;
}

Result<uint64_t> file_size(const Fd& fd) {
    const auto info = TRY(stat(fd));
    if (S_ISBLK(info.st_mode)) {
        uint64_t size = 0;
        TRY(check(::ioctl(fd.get(), BLKGETSIZE64, &size), "BLKGETSIZE64"));
        return size;
    }
    if (!S_ISREG(info.st_mode)) return fail(ErrorCode::InvalidArgument, "not a regular file or block device");
    return static_cast<uint64_t>(info.st_size);
}

Result<Fd> memfd(const std::string& name, unsigned flags) {
    Fd fd(::memfd_create(name.c_str(), flags | MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd.is_open()) return refused("memfd_create " + name);
    return fd;
}

Result<void> truncate(const Fd& fd, uint64_t size) {
    if (size > static_cast<uint64_t>(std::numeric_limits<off_t>::max()))
        return fail(ErrorCode::InvalidArgument, "file size too large");
    return check(uninterrupted([&] { return ::ftruncate(fd.get(), static_cast<off_t>(size)); }), "ftruncate");
}

Result<void> allocate(const Fd& fd, int mode, uint64_t offset, uint64_t length) {
    return check(uninterrupted([&] {
                     return ::fallocate(fd.get(), mode, static_cast<off_t>(offset),
                                        static_cast<off_t>(length));
                 }),
                 "fallocate");
}

Result<void> add_seals(const Fd& fd, int seals) {
    return check(::fcntl(fd.get(), F_ADD_SEALS, seals), "F_ADD_SEALS");
}

Result<void> read_exact(const Fd& fd, MutableByteView into) {
    while (!into.empty()) {
        const ssize_t count = uninterrupted([&] { return ::read(fd.get(), into.data(), into.size()); });
        if (count < 0) return refused("read");
        if (count == 0) return fail(ErrorCode::Truncated, "unexpected end of data");
        into = into.subspan(static_cast<size_t>(count));
    }
    return {};
}

Result<void> read_exact_at(const Fd& fd, MutableByteView into, uint64_t offset) {
    while (!into.empty()) {
        const ssize_t count = uninterrupted(
            [&] { return ::pread(fd.get(), into.data(), into.size(), static_cast<off_t>(offset)); });
        if (count < 0) return refused("pread");
        if (count == 0) return fail(ErrorCode::Truncated, "unexpected end of data");
        into = into.subspan(static_cast<size_t>(count));
        offset += static_cast<uint64_t>(count);
    }
    return {};
}

Result<void> write_all(const Fd& fd, ByteView from) {
    while (!from.empty()) {
        const ssize_t count = uninterrupted([&] { return ::write(fd.get(), from.data(), from.size()); });
        if (count < 0) return refused("write");
        from = from.subspan(static_cast<size_t>(count));
    }
    return {};
}

Result<void> write_all_at(const Fd& fd, ByteView from, uint64_t offset) {
    while (!from.empty()) {
        const ssize_t count = uninterrupted(
            [&] { return ::pwrite(fd.get(), from.data(), from.size(), static_cast<off_t>(offset)); });
        if (count < 0) return refused("pwrite");
        from = from.subspan(static_cast<size_t>(count));
        offset += static_cast<uint64_t>(count);
    }
    return {};
}

Result<Transfer> read_some(const Fd& fd, MutableByteView into) {
    const ssize_t count = uninterrupted([&] { return ::read(fd.get(), into.data(), into.size()); });
    if (count < 0 && errno == EAGAIN) return Transfer{.bytes = 0, .would_block = true};
    if (count < 0) return refused("read");
    return Transfer{.bytes = static_cast<size_t>(count)};
}

Result<Transfer> write_some(const Fd& fd, ByteView from) {
    ssize_t count = uninterrupted([&] { return ::send(fd.get(), from.data(), from.size(), MSG_NOSIGNAL); });
    if (count < 0 && errno == ENOTSOCK)
        count = uninterrupted([&] { return ::write(fd.get(), from.data(), from.size()); });
    if (count < 0 && errno == EAGAIN) return Transfer{.bytes = 0, .would_block = true};
    if (count < 0) return refused("write");
    return Transfer{.bytes = static_cast<size_t>(count)};
}

Result<Bytes> read_file(const std::string& path, uint64_t limit) {
    const auto fd = TRY(open(path, O_RDONLY));
    Bytes content;
    // Grows as it reads: files of /proc and /sys have no size beforehand.
    while (true) {
        const size_t old_size = content.size();
        content.resize(old_size + 64 * 1024);
        const auto transfer =
            TRY(read_some(fd, MutableByteView(content).subspan(old_size)).context("reading " + path));
        content.resize(old_size + transfer.bytes);
        if (content.size() > limit)
            return fail(ErrorCode::LimitExceeded,
                        path + " is larger than " + std::to_string(limit) + " bytes");
        if (transfer.bytes == 0) return content;
    }
}

Result<void> replace_file(const std::string& path, ByteView content, mode_t mode) {
    const std::string temporary = path + ".new";
    ::unlink(temporary.c_str());
    const auto fd = TRY(open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
    TRY(check(::fchmod(fd.get(), mode), "chmod " + temporary));
    TRY(write_all(fd, content).context("writing " + temporary));
    TRY(check(::fsync(fd.get()), "fsync " + temporary));
    return check(::rename(temporary.c_str(), path.c_str()), "rename " + temporary);
}

Result<void> make_directories(const std::string& path, mode_t mode) {
    std::string current;
    for (const auto& part : std::filesystem::path(path)) {
        current = current.empty() ? part.string() : (std::filesystem::path(current) / part).string();
        if (current.empty() || ::mkdir(current.c_str(), mode) == 0 || errno == EEXIST) continue;
        return refused("mkdir " + current);
    }
    return {};
}

Result<void> set_non_blocking(const Fd& fd, bool on) {
    const int flags = ::fcntl(fd.get(), F_GETFL);
    if (flags < 0) return refused("F_GETFL");
    return check(::fcntl(fd.get(), F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), "F_SETFL");
}

Result<Pair> socket_pair(int type) {
    int fds[2];
    TRY(check(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), "socketpair"));
    return Pair{Fd(fds[0]), Fd(fds[1])};
}

Result<Pair> pipe(int flags) {
    int fds[2];
    TRY(check(::pipe2(fds, flags | O_CLOEXEC), "pipe"));
    return Pair{Fd(fds[0]), Fd(fds[1])};
}

Result<Fd> unix_listen(const std::string& path, int type, mode_t mode, int backlog) {
    const auto address = TRY(unix_address(path));
    Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    if (!fd.is_open()) return refused("socket");
    if (::unlink(path.c_str()) < 0 && errno != ENOENT) return refused("unlink " + path);
    // The mode counts from the first moment: the socket file is made with it, not changed to it.
    const mode_t old_mask = ::umask(static_cast<mode_t>(~mode & 0777));
    const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int bind_errno = errno;
    ::umask(old_mask);
    if (bound < 0) return fail_errno(bind_errno, "bind " + path, code_of(bind_errno));
    TRY(check(::listen(fd.get(), backlog), "listen " + path));
    return fd;
}

Result<Fd> unix_connect(const std::string& path, int type) {
    const auto address = TRY(unix_address(path));
    Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    if (!fd.is_open()) return refused("socket");
    const int connected = uninterrupted(
        [&] { return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address); });
    if (connected < 0 && errno == EAGAIN)
        return fail(ErrorCode::Busy, "connect " + path + ": nobody takes the connections that wait there");
    TRY(check(connected, "connect " + path));
    return fd;
}

Result<Fd> accept(const Fd& listener) {
    Fd fd(uninterrupted([&] { return ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC); }));
    if (!fd.is_open()) return refused("accept");
    return fd;
}

Result<PeerCredentials> peer_credentials(const Fd& socket) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    TRY(check(::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size), "SO_PEERCRED"));
    return PeerCredentials{.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
}

}  // namespace alcove::sys

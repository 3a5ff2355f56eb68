// SPDX-License-Identifier: Apache-2.0
#include "embedded/listening_socket.hpp"

#include <atomic>
#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/system.hpp"

namespace alcove::embedded {

namespace {

constexpr mode_t kMode = 0666;
// An enclave's connections come in bursts, and one that finds the queue full is refused.
constexpr int kBacklog = 1024;

// Whether something has the name, and a program stands behind it.
enum class Holder { Nobody, Gone, Listens };

Result<Holder> holder_of(const std::string& path) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) < 0) {
        if (errno == ENOENT) return Holder::Nobody;
        return fail_errno(errno, path, errno == EACCES ? ErrorCode::PermissionDenied : ErrorCode::SystemCall);
    }
    if (!S_ISSOCK(info.st_mode)) return fail(ErrorCode::AlreadyExists, path + " is there and is no socket");
    // A program that listens must not see a connection that nobody means: for another type of socket the
    // kernel says that there is one (EPROTOTYPE) and makes none.
    const auto tried = sys::unix_connect(path, SOCK_DGRAM);
    if (!tried && tried.error().errno_value() == ECONNREFUSED) return Holder::Gone;
    return Holder::Listens;
}

// Beside the name itself, so that it can be given the name in one step.
std::string name_beside(const std::string& path) {
    static std::atomic<unsigned> count = 0;
    return path.substr(0, path.rfind('/') + 1) + ".new-" + std::to_string(::getpid()) + "-" +
           std::to_string(count.fetch_add(1, std::memory_order_relaxed));
}

Result<void> give_name(const std::string& from, const std::string& path, Holder holder) {
    const unsigned flags = holder == Holder::Gone ? 0 : RENAME_NOREPLACE;
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, path.c_str(), flags) == 0) return {};
    const int error = errno;
    ::unlink(from.c_str());
    if (error == EEXIST) return fail(ErrorCode::AlreadyExists, "a program listens at " + path);
    if (error == EPERM || error == EACCES)
        return fail(ErrorCode::PermissionDenied,
                    path + " was left behind by another user, who has to remove it");
    return fail_errno(error, "naming " + path);
}

}  // namespace

Result<ListeningSocket> ListeningSocket::create(const std::string& path) {
    const Holder holder = TRY(holder_of(path));
    if (holder == Holder::Listens) return fail(ErrorCode::AlreadyExists, "a program listens at " + path);
    const std::string made = name_beside(path);
    auto fd = TRY(sys::unix_listen(made, SOCK_STREAM | SOCK_NONBLOCK, kMode, kBacklog));
    struct stat info {};
    if (::lstat(made.c_str(), &info) < 0) return fail_errno(errno, made);
    TRY(give_name(made, path, holder));
    return ListeningSocket(std::move(fd), path, info.st_dev, info.st_ino);
}

ListeningSocket::~ListeningSocket() {
    if (fd_.is_open() && is_in_place()) ::unlink(path_.c_str());
}

Result<std::optional<Fd>> ListeningSocket::accept() const {
    auto connection = sys::accept(fd_);
    if (connection) return std::optional<Fd>(std::move(*connection));
    const int error = connection.error().errno_value();
    if (error == EAGAIN || error == ECONNABORTED) return std::optional<Fd>();
    return Failure{std::move(connection).error()};
}

bool ListeningSocket::is_in_place() const {
    struct stat info {};
    return ::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_;
}

}  // namespace alcove::embedded

// SPDX-License-Identifier: Apache-2.0
//
// A Unix stream socket that a program makes for as long as it listens, in a folder where others look for it
// by name: an enclave's port in the folder of its VM. Never takes a name from a program that listens; takes
// it over from one that is gone. Whoever reaches the folder may connect, because the process that does so
// for an enclave has a user and group of its own: the folder's mode is the door.
#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::embedded {

class ListeningSocket {
  public:
    // AlreadyExists: a program listens at this path, or it is no socket. NotFound: there is no such folder.
    // PermissionDenied: the folder is not for this user, or a socket left behind is another user's.
    static Result<ListeningSocket> create(const std::string& path);
    ListeningSocket(ListeningSocket&& other) noexcept = default;
    ListeningSocket& operator=(ListeningSocket&&) = delete;
    ListeningSocket(const ListeningSocket&) = delete;
    ListeningSocket& operator=(const ListeningSocket&) = delete;
    // Removes the file, if it is still this socket's.
    ~ListeningSocket();

    const Fd& fd() const { return fd_; }  // non-blocking; readable when somebody waits
    // Nothing when nobody waits any more.
    Result<std::optional<Fd>> accept() const;
    // False once the file is gone: nobody can connect any more, as when the folder's VM has ended.
    bool is_in_place() const;

  private:
    ListeningSocket(Fd fd, std::string path, dev_t device, ino_t inode)
        : fd_(std::move(fd)), path_(std::move(path)), device_(device), inode_(inode) {}

    Fd fd_;
    std::string path_;
    dev_t device_;
    ino_t inode_;
};

}  // namespace alcove::embedded

// SPDX-License-Identifier: Apache-2.0
//
// SIGINT, SIGTERM and SIGHUP as something to be looked at instead of the end, for commands that have begun
// something which they must take back. They are blocked while an object of this class lives, for this thread
// and those that it starts; what nobody looked at takes effect afterwards.
#pragma once

#include <csignal>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::cli {

class Interruption {
  public:
    static Result<Interruption> create();
    Interruption(Interruption&& other) noexcept;
    Interruption& operator=(Interruption&&) = delete;
    Interruption(const Interruption&) = delete;
    Interruption& operator=(const Interruption&) = delete;
    ~Interruption();

    const Fd& fd() const { return fd_; }  // readable once it has happened, until happened() was asked
    // Stays true.
    bool happened();

  private:
    Interruption(Fd fd, const sigset_t& before) : fd_(std::move(fd)), before_(before) {}

    Fd fd_;
    sigset_t before_;
    bool happened_ = false;
};

}  // namespace alcove::cli

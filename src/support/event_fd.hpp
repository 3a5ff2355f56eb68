// SPDX-License-Identifier: Apache-2.0
//
// A counter in the kernel that wakes a poller: how threads, KVM (ioeventfd, irqfd) and processes of one
// VM signal each other.
#pragma once

#include <cstdint>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove {

class EventFd {
  public:
    static Result<EventFd> create();  // non-blocking

    void signal() const;
    uint64_t drain() const;  // how often it was signalled since the last drain

    const Fd& fd() const { return fd_; }

  private:
    explicit EventFd(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

}  // namespace alcove

// SPDX-License-Identifier: Apache-2.0
//
// The shim's child, which the broker started: the VMM of an enclave, or the parent of a primary VM's lives.
// Its end is reported once; it can be killed with all that it has started.
#pragma once

#include <functional>
#include <memory>

#include "enclave/lifecycle.hpp"
#include "support/event_loop.hpp"
#include "support/fd.hpp"

namespace alcove::enclave {

class ChildProcess {
  public:
    using OnEnd = std::function<void(ProcessEnd)>;  // from the loop; must not destroy the object

    // `pidfd` is of a child of this process; "1" written to `kill` kills it and what it has started.
    static Result<std::unique_ptr<ChildProcess>> watch(EventLoop& loop, Fd pidfd, Fd kill, OnEnd on_end);
    ~ChildProcess();
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    void kill() const;
    const Fd& pidfd() const { return pidfd_; }

  private:
    ChildProcess(EventLoop& loop, Fd pidfd, Fd kill, OnEnd on_end)
        : loop_(loop), pidfd_(std::move(pidfd)), kill_(std::move(kill)), on_end_(std::move(on_end)) {}
    void look();

    EventLoop& loop_;
    Fd pidfd_;
    Fd kill_;
    OnEnd on_end_;
    EventLoop::WatchId watch_ = 0;
};

}  // namespace alcove::enclave

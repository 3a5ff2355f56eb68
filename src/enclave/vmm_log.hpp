// SPDX-License-Identifier: Apache-2.0
//
// What a VMM prints. It comes through a pipe of its own, is cut into lines, made harmless and passed on to
// this process's log, as many lines as the rate allows; the last one is kept, because it often says why the
// VMM died. A VMM that floods its pipe is read as fast as it writes, and costs nobody else anything.
#pragma once

#include <memory>
#include <string>

#include "support/event_loop.hpp"
#include "support/log.hpp"

namespace alcove::enclave {

class VmmLog {
  public:
    static constexpr size_t kMaxLine = 512;  // what is longer is cut into several

    static Result<std::unique_ptr<VmmLog>> create(EventLoop& loop, Fd pipe);
    ~VmmLog();
    VmmLog(const VmmLog&) = delete;
    VmmLog& operator=(const VmmLog&) = delete;

    // Reads what already lies in the pipe.
    void drain();
    const std::string& last_line() const { return last_line_; }  // printable; empty when there was none

  private:
    VmmLog(EventLoop& loop, Fd pipe) : loop_(loop), pipe_(std::move(pipe)) {}
    bool read_piece();  // false: nothing there now, or the end
    void end_line();

    EventLoop& loop_;
    Fd pipe_;
    EventLoop::WatchId watch_ = 0;
    std::string line_;
    std::string last_line_;
    log::RateLimit limit_{100, std::chrono::seconds(1)};
};

}  // namespace alcove::enclave

// SPDX-License-Identifier: Apache-2.0
//
// Passes alcoved's questions for a VM's counters on to its VMM, one at a time: whoever asks meanwhile gets
// the same answer. A VMM that does not answer costs nobody more than a moment.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "api/vmm_messages.hpp"
#include "support/event_loop.hpp"

namespace alcove::enclave {

class StatisticsRelay {
  public:
    static constexpr std::chrono::seconds kTimeout{3};
    using Send = std::function<void(Bytes)>;

    // The loop is borrowed and outlives the object.
    StatisticsRelay(EventLoop& loop, Send to_daemon) : loop_(loop), to_daemon_(std::move(to_daemon)) {}
    ~StatisticsRelay() { loop_.cancel(timer_); }
    StatisticsRelay(const StatisticsRelay&) = delete;
    StatisticsRelay& operator=(const StatisticsRelay&) = delete;

    // Of a VM that runs.
    void ask(uint32_t request, const Send& to_vmm);
    void answer(const api::vmm::StatisticsReply& reply);
    void fail(const Error& error);
    // Who waited has gone.
    void forget_waiting() { waiting_.clear(); }

  private:
    EventLoop& loop_;
    Send to_daemon_;
    std::vector<uint32_t> waiting_;  // the daemon's request ids
    uint32_t request_ = 0;           // ours to the VMM, the last one
    EventLoop::TimerId timer_ = 0;   // while the VMM owes an answer
};

}  // namespace alcove::enclave

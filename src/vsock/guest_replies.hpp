// SPDX-License-Identifier: Apache-2.0
//
// Control packets that a backend has for its guest and that belong to no stream any more: they wait, in order
// and bounded, until the guest offers buffers.
#pragma once

#include <deque>

#include "vsock/packet.hpp"
#include "vsock/rx_ring.hpp"

namespace alcove::vsock {

class GuestReplies {
  public:
    // Answers to what the guest sent: one that asks so much and reads nothing does not want them.
    static constexpr size_t kMaxAnswers = 256;
    // Ends of streams that there were.
    static constexpr size_t kMaxEnds = 16 * 1024;

    void answer_with_reset(const Header& to) {
        if (waiting_.size() < kMaxAnswers) waiting_.push_back(make_reset(to));
    }
    void end(const Header& reset) {
        if (waiting_.size() < kMaxEnds) waiting_.push_back(reset);
    }
    void clear() { waiting_.clear(); }

    bool is_empty() const { return waiting_.empty(); }
    // Not when it is empty. False when there was no buffer.
    Result<bool> send_one(RxRing& ring) {
        const bool sent = TRY(ring.put(waiting_.front()));
        if (sent) waiting_.pop_front();
        return sent;
    }

  private:
    std::deque<Header> waiting_;
};

}  // namespace alcove::vsock

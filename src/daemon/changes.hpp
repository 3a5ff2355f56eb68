// SPDX-License-Identifier: Apache-2.0
//
// Lets threads that serve clients wait until something has changed: a counter that only grows.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace alcove::daemon {

class Changes {
  public:
    uint64_t count() const {
        const std::lock_guard lock(mutex_);
        return count_;
    }
    void bump() {
        {
            const std::lock_guard lock(mutex_);
            ++count_;
        }
        changed_.notify_all();
    }
    // Returns at once when the count is above `seen` already; false when the time is over first, or when
    // waiting was ended for good.
    bool wait_beyond(uint64_t seen, std::chrono::steady_clock::time_point deadline) {
        std::unique_lock lock(mutex_);
        changed_.wait_until(lock, deadline, [&] { return count_ > seen || over_; });
        return count_ > seen && !over_;
    }
    // Nobody waits any more: the daemon ends.
    void end() {
        {
            const std::lock_guard lock(mutex_);
            over_ = true;
        }
        changed_.notify_all();
    }
    bool is_over() const {
        const std::lock_guard lock(mutex_);
        return over_;
    }

  private:
    mutable std::mutex mutex_;  // guards the two below
    std::condition_variable changed_;
    uint64_t count_ = 0;
    bool over_ = false;
};

}  // namespace alcove::daemon

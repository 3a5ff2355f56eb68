// SPDX-License-Identifier: Apache-2.0
//
// One thread that waits for descriptors and deadlines and calls back. An object of this class belongs to
// the thread that runs it; only post(), stop() and is_loop_thread() may be called from others. Callbacks may
// add, change and remove any watch, their own included.
//
// Level-triggered (epoll): a callback that does not consume its input is called again.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include <sys/epoll.h>

#include "support/event_fd.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove {

class EventLoop {
  public:
    using Clock = std::chrono::steady_clock;
    using WatchId = uint64_t;  // never reused; 0 is none
    using TimerId = uint64_t;

    static Result<std::unique_ptr<EventLoop>> create();

    // `events` are EPOLLIN, EPOLLOUT ...; the callback gets what happened. The descriptor is borrowed: remove
    // the watch before it is closed.
    Result<WatchId> watch(const Fd& fd, uint32_t events, std::function<void(uint32_t)> callback);
    Result<void> change(WatchId id, uint32_t events);
    void unwatch(WatchId id);  // an unknown id is ignored

    TimerId at(Clock::time_point when, std::function<void()> callback);
    TimerId after(Clock::duration delay, std::function<void()> callback) {
        return at(Clock::now() + delay, std::move(callback));
    }
    void cancel(TimerId id);

    // From any thread: runs the task on the loop's thread, in the order of posting.
    void post(std::function<void()> task);
    void stop();
    // Whether the caller is the thread this loop belongs to: the one that ran it last, or made it.
    bool is_loop_thread() const {
        return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }

    // Until stop(). Errors of epoll itself only.
    Result<void> run();
    // One round: waits at most `timeout`; says how many callbacks ran.
    Result<size_t> run_once(std::chrono::milliseconds timeout);

  private:
    struct Watch {
        int fd;
        std::function<void(uint32_t)> callback;
    };

    EventLoop(Fd epoll, EventFd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {}
    size_t run_timers();
    size_t run_posted();

    Fd epoll_;
    EventFd wake_;
    // Written by the thread that makes or runs the loop. Whoever reads its own id here wrote it itself, so no
    // ordering is needed.
    std::atomic<std::thread::id> thread_ = std::this_thread::get_id();
    uint64_t next_id_ = 1;
    std::unordered_map<WatchId, std::shared_ptr<Watch>> watches_;
    std::map<std::pair<Clock::time_point, TimerId>, std::function<void()>> timers_;
    std::unordered_map<TimerId, Clock::time_point> timer_times_;
    std::mutex posted_mutex_;  // guards posted_ only
    std::vector<std::function<void()>> posted_;
    bool stopping_ = false;  // loop thread only: stop() posts
};

}  // namespace alcove

// SPDX-License-Identifier: Apache-2.0
#include "support/event_loop.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

namespace alcove {

namespace {
constexpr uint64_t kWakeId = 0;
}

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
    Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll.is_open()) return fail_errno(errno, "epoll_create");
    auto wake = TRY(EventFd::create());
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kWakeId;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.fd().get(), &event) < 0)
        return fail_errno(errno, "epoll_ctl");
    return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll), std::move(wake)));
}

Result<EventLoop::WatchId> EventLoop::watch(const Fd& fd, uint32_t events,
                                            std::function<void(uint32_t)> callback) {
    const WatchId id = next_id_++;
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) < 0) return fail_errno(errno, "epoll add");
    watches_.emplace(id, std::make_shared<Watch>(Watch{.fd = fd.get(), .callback = std::move(callback)}));
    return id;
}

Result<void> EventLoop::change(WatchId id, uint32_t events) {
    const auto found = watches_.find(id);
    ALCOVE_CHECK(found != watches_.end(), "only a live watch is changed");
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, found->second->fd, &event) < 0)
        return fail_errno(errno, "epoll mod");
    return {};
}

void EventLoop::unwatch(WatchId id) {
    const auto found = watches_.find(id);
    if (found == watches_.end()) return;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second->fd, nullptr);
    watches_.erase(found);
}

EventLoop::TimerId EventLoop::at(Clock::time_point when, std::function<void()> callback) {
    const TimerId id = next_id_++;
    timers_.emplace(std::pair(when, id), std::move(callback));
    timer_times_.emplace(id, when);
    return id;
}

void EventLoop::cancel(TimerId id) {
    const auto found = timer_times_.find(id);
    if (found == timer_times_.end()) return;
    timers_.erase(std::pair(found->second, id));
    timer_times_.erase(found);
}

void EventLoop::post(std::function<void()> task) {
    {
        const std::lock_guard lock(posted_mutex_);
        posted_.push_back(std::move(task));
    }
    wake_.signal();
}

void EventLoop::stop() {
    post([this] { stopping_ = true; });
}

size_t EventLoop::run_timers() {
    size_t ran = 0;
    const auto now = Clock::now();
    while (!timers_.empty() && timers_.begin()->first.first <= now) {
        auto node = timers_.extract(timers_.begin());
        timer_times_.erase(node.key().second);
        node.mapped()();
        ++ran;
    }
    return ran;
}

size_t EventLoop::run_posted() {
    std::vector<std::function<void()>> tasks;
    {
        const std::lock_guard lock(posted_mutex_);
        tasks.swap(posted_);
    }
    for (auto& task : tasks)
        task();
    return tasks.size();
}

Result<size_t> EventLoop::run_once(std::chrono::milliseconds timeout) {
    thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    if (!timers_.empty()) {
        const auto until =
            std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now());
        timeout = timeout.count() < 0 ? until : std::min(timeout, until);
        timeout = std::max(timeout, std::chrono::milliseconds(0));
    }
    std::array<epoll_event, 64> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                   static_cast<int>(std::min<int64_t>(timeout.count(), 60'000)));
    if (count < 0 && errno != EINTR) return fail_errno(errno, "epoll_wait");
    size_t ran = run_timers();
    for (int i = 0; i < count; ++i) {
        const auto& event = events[static_cast<size_t>(i)];
        if (event.data.u64 == kWakeId) {
            wake_.drain();
            ran += run_posted();
            continue;
        }
        // Looked up anew: a callback before this one may have removed the watch. The copy keeps the callback
        // alive while it runs, even if it removes itself.
        const WatchId id = event.data.u64;  // a copy: epoll_event is packed, and find() binds a reference
        const auto found = watches_.find(id);
        if (found == watches_.end()) continue;
        const auto watch = found->second;
        watch->callback(event.events);
        ++ran;
    }
    return ran;
}

Result<void> EventLoop::run() {
    stopping_ = false;
    while (!stopping_)
        TRY(run_once(std::chrono::milliseconds(-1)));
    return {};
}

}  // namespace alcove

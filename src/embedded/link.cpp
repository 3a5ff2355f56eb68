// SPDX-License-Identifier: Apache-2.0
#include "embedded/link.hpp"

#include <utility>

#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::embedded {

namespace {
// Two frames: enough for one full write to be under way while the next is filled, short enough that a
// keystroke waits behind no more than that.
constexpr size_t kOutput = 2 * kMaxFrame;
// Rounds of reading or writing before others have a turn in the loop. A virtio-serial port gives 4 KiB a read
// (one buffer of Linux's driver), so a frame takes eight.
constexpr int kRounds = 16;
constexpr auto kGreetAgain = std::chrono::seconds(3);
constexpr auto kGreetSoon = std::chrono::milliseconds(50);
}  // namespace

Result<std::unique_ptr<Link>> Link::create(EventLoop& loop, Fd wire, Session::Role role,
                                           Callbacks callbacks) {
    TRY(sys::set_non_blocking(wire, true));
    std::unique_ptr<Link> link(new Link(loop, std::move(wire), role, std::move(callbacks)));
    TRY(link->resume());
    return link;
}

Link::Link(EventLoop& loop, Fd wire, Session::Role role, Callbacks callbacks)
    : loop_(loop),
      role_(role),
      wire_(std::move(wire)),
      callbacks_(std::move(callbacks)),
      self_(std::make_shared<Link*>(this)),
      session_(role, Session::Callbacks{
                         .accept = callbacks_.accept,
                         .wake = [this] { flush_soon(); },
                         .changed = [this](Session::State state) { callbacks_.changed(state); },
                     }) {}

Link::~Link() {
    loop_.unwatch(watch_);
    loop_.cancel(greet_timer_);
}

Result<void> Link::resume() {
    ALCOVE_CHECK(watch_ == 0, "a link resumes only after it was lost");
    watch_ = TRY(loop_.watch(wire_, EPOLLIN, [this](uint32_t events) { on_event(events); }));
    watching_output_ = false;
    out_.clear();
    out_sent_ = 0;
    session_.restart();
    greet_later(kGreetAgain);
    return {};
}

void Link::greet_later(EventLoop::Clock::duration delay) {
    if (role_ != Session::Role::Outer) return;
    loop_.cancel(greet_timer_);
    greet_timer_ = loop_.after(delay, [this] {
        greet_timer_ = 0;
        const auto state = session_.state();
        // Bytes that still wait here mean that nobody reads at the other end: another greeting helps nobody.
        if (state != Session::State::Running && out_sent_ == out_.size()) session_.greet();
        if (state != Session::State::Running) greet_later(kGreetAgain);
    });
}

void Link::on_event(uint32_t events) {
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !read_wire()) {
        lose();
        return;
    }
    flush();
}

bool Link::read_wire() {
    for (int round = 0; round < kRounds; ++round) {
        const auto transfer = sys::read_some(wire_, session_.space());
        if (!transfer) {
            log::warn("bridge: {}", transfer.error().to_string());
            return false;
        }
        if (transfer->would_block) return true;
        if (transfer->bytes == 0) return false;
        session_.received(transfer->bytes);
        if (session_.greet_wanted()) greet_later(kGreetSoon);
    }
    return true;
}

void Link::flush_soon() {
    if (std::exchange(flush_posted_, true)) return;
    loop_.post([weak = std::weak_ptr(self_)] {
        if (const auto self = weak.lock()) {
            (*self)->flush_posted_ = false;
            (*self)->flush();
        }
    });
}

void Link::flush() {
    if (watch_ == 0) return;
    for (int round = 0; round < kRounds; ++round) {
        if (out_sent_ == out_.size()) {
            out_.clear();
            out_sent_ = 0;
            session_.produce(out_, kOutput);
            if (out_.empty()) {
                watch_output(false);
                return;
            }
        }
        const auto transfer = sys::write_some(wire_, ByteView(out_).subspan(out_sent_));
        if (!transfer) {
            log::warn("bridge: {}", transfer.error().to_string());
            lose();
            return;
        }
        if (transfer->would_block) break;
        out_sent_ += transfer->bytes;
    }
    watch_output(true);
}

void Link::watch_output(bool on) {
    if (watching_output_ == on) return;
    watching_output_ = on;
    const auto changed = loop_.change(watch_, on ? EPOLLIN | EPOLLOUT : EPOLLIN);
    if (!changed) log::error("bridge: {}", changed.error().to_string());
}

void Link::lose() {
    loop_.unwatch(std::exchange(watch_, 0));
    loop_.cancel(std::exchange(greet_timer_, 0));
    session_.wire_lost();
    callbacks_.lost();  // may destroy this link
}

}  // namespace alcove::embedded

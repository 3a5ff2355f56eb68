// SPDX-License-Identifier: Apache-2.0
#include "egress/tunnel.hpp"

#include <algorithm>
#include <utility>

#include "support/system.hpp"

namespace alcove::egress {

Result<std::unique_ptr<Tunnel>> Tunnel::create(EventLoop& loop, Fd client, TunnelLimits limits,
                                               Callbacks callbacks) {
    std::unique_ptr<Tunnel> tunnel(new Tunnel(loop, std::move(client), limits, std::move(callbacks)));
    Tunnel* const self = tunnel.get();
    self->client_watch_ =
        TRY(loop.watch(self->client_, EPOLLIN, [self](uint32_t events) { self->on_client(events); }));
    self->set_deadline(limits.head);
    return tunnel;
}

Tunnel::~Tunnel() {
    loop_.unwatch(client_watch_);
    loop_.unwatch(target_watch_);
    loop_.cancel(timer_);
}

void Tunnel::on_client(uint32_t events) {
    switch (state_) {
        case State::Head:
            return read_head();
        case State::Dialing:
            // Not read from meanwhile; what comes unasked for is its end.
            if ((events & (EPOLLHUP | EPOLLERR)) != 0) end();
            return;
        case State::Relaying:
            return on_relay(events, client_watch_, to_target_, client_gone_);
        case State::Over:
            return;
    }
}

void Tunnel::read_head() {
    const size_t before = head_.size();
    head_.resize(kMaxHead);
    const auto got = sys::read_some(client_, MutableByteView(head_).subspan(before));
    head_.resize(before + (got ? got->bytes : 0));
    if (got && got->would_block) return;
    if (!got || got->bytes == 0) return end();
    const auto length = head_length(head_);
    if (!length && head_.size() == kMaxHead) return refuse(Status::HeadTooLarge);
    if (!length) return;
    auto parsed = parse_connect(as_text(ByteView(head_).first(*length)));
    if (const auto* status = std::get_if<Status>(&parsed)) return refuse(*status);
    to_target_.prepend(ByteView(head_).subspan(*length));
    Bytes().swap(head_);
    state_ = State::Dialing;
    set_deadline(limits_.dial);
    loop_.change(client_watch_, 0).value();  // of a live watch: epoll has no reason to refuse
    callbacks_.dial(std::get<ConnectTarget>(parsed));
}

void Tunnel::dialed(Status status, Fd target) {
    if (state_ != State::Dialing) return;
    if (status != Status::Established || !target.is_open()) return refuse(status);
    target_ = std::move(target);
    auto watch = loop_.watch(
        target_, 0, [this](uint32_t events) { on_relay(events, target_watch_, to_client_, target_gone_); });
    if (!watch) return end();
    target_watch_ = *watch;
    to_client_.prepend(as_byte_view(response(Status::Established)));
    state_ = State::Relaying;
    last_byte_ = EventLoop::Clock::now();
    set_deadline(limits_.idle);
    relay();
}

void Tunnel::refuse(Status status) {
    if (status == Status::Established) status = Status::BadGateway;  // without a socket it is none
    // It fits into a socket that nothing was written to; one that does not take it goes without.
    (void)sys::write_some(client_, as_byte_view(response(status)));
    end();
}

void Tunnel::relay() {
    const auto forth = to_target_.pump(client_, target_);
    const auto back = to_client_.pump(target_, client_);
    if (!forth || !back) return end();
    if ((to_target_.is_over() || target_gone_) && (to_client_.is_over() || client_gone_)) return end();
    if (*forth + *back > 0) last_byte_ = EventLoop::Clock::now();
    set_interest(client_watch_, to_target_, to_client_);
    set_interest(target_watch_, to_client_, to_target_);
}

void Tunnel::on_relay(uint32_t events, EventLoop::WatchId& watch, const Flow& from_it, bool& is_gone) {
    relay();
    const bool hung_up = (events & (EPOLLHUP | EPOLLERR)) != 0;
    if (state_ != State::Relaying || !hung_up || from_it.wants_input()) return;
    loop_.unwatch(std::exchange(watch, 0));
    is_gone = true;
    relay();
}

void Tunnel::set_interest(EventLoop::WatchId watch, const Flow& from_it, const Flow& to_it) {
    if (watch == 0) return;
    const uint32_t events = (from_it.wants_input() ? EPOLLIN : 0U) | (to_it.wants_output() ? EPOLLOUT : 0U);
    loop_.change(watch, events).value();  // as above
}

void Tunnel::set_deadline(std::chrono::milliseconds patience) {
    loop_.cancel(timer_);
    timer_ = loop_.after(patience, [this] { expired(); });
}

void Tunnel::expired() {
    if (state_ == State::Head) return refuse(Status::RequestTimeout);
    if (state_ == State::Dialing) return refuse(Status::GatewayTimeout);
    const auto due = last_byte_ + limits_.idle;
    if (EventLoop::Clock::now() >= due) return end();
    timer_ = loop_.at(due, [this] { expired(); });
}

void Tunnel::end() {
    if (state_ == State::Over) return;
    state_ = State::Over;
    loop_.unwatch(std::exchange(client_watch_, 0));
    loop_.unwatch(std::exchange(target_watch_, 0));
    loop_.cancel(timer_);
    client_.reset();
    target_.reset();
    loop_.post([over = callbacks_.over] { over(); });
}

}  // namespace alcove::egress

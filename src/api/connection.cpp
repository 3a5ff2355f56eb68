// SPDX-License-Identifier: Apache-2.0
#include "api/connection.hpp"

#include "support/system.hpp"

namespace alcove::api {

namespace {
constexpr size_t kMessagesPerTurn = 32;  // then others on the loop have theirs
}

Result<std::unique_ptr<Connection>> Connection::create(EventLoop& loop, Channel channel, Protocol protocol,
                                                       VersionRange versions, Callbacks callbacks) {
    TRY(sys::set_non_blocking(channel.fd(), true));
    std::unique_ptr<Connection> connection(
        new Connection(loop, std::move(channel), protocol, versions, std::move(callbacks)));
    Connection* self = connection.get();
    self->watch_ =
        TRY(loop.watch(self->channel_.fd(), EPOLLIN, [self](uint32_t events) { self->on_events(events); }));
    self->watched_events_ = EPOLLIN;
    self->send(encode_hello(protocol, versions));
    return connection;
}

Connection::~Connection() {
    close();
}

void Connection::close() {
    if (phase_ == Phase::Closed) return;
    phase_ = Phase::Closed;
    loop_.unwatch(watch_);
    outbox_.clear();
    channel_.release();
}

void Connection::lose(const Error& error) {
    if (phase_ == Phase::Closed) return;
    close();
    const auto callbacks = callbacks_;
    if (callbacks->on_closed) callbacks->on_closed(error);
}

void Connection::send(Bytes message, std::vector<Fd> descriptors) {
    if (phase_ == Phase::Closed) return;
    outbox_.push_back({.data = std::move(message), .descriptors = std::move(descriptors)});
    flush();
    update_watch();
}

void Connection::flush() {
    while (!outbox_.empty()) {
        const auto& next = outbox_.front();
        std::vector<int> descriptors;
        for (const auto& fd : next.descriptors)
            descriptors.push_back(fd.get());
        const auto sent = channel_.send(next.data, descriptors);
        if (!sent && sent.error().code() == ErrorCode::Busy && outbox_.size() <= kSendLimit) return;
        // A peer that is gone may have left last words: reading finds them, and the hang-up behind them.
        if (!sent && sent.error().code() == ErrorCode::ConnectionLost) return outbox_.clear();
        if (!sent) {
            // Whoever sends does not expect to be called back from within.
            outbox_.clear();
            const Error error = sent.error();
            loop_.post([this, alive = std::weak_ptr(alive_), error] {
                if (!alive.expired()) lose(error);
            });
            return;
        }
        outbox_.pop_front();
    }
}

void Connection::update_watch() {
    if (phase_ == Phase::Closed) return;
    uint32_t events = 0;
    if (outbox_.size() <= kReadLimit) events |= EPOLLIN;
    if (!outbox_.empty()) events |= EPOLLOUT;
    if (events == watched_events_) return;
    watched_events_ = events;
    const auto changed = loop_.change(watch_, events);
    ALCOVE_CHECK(changed.has_value(), "a live watch can be changed");
}

void Connection::on_events(uint32_t events) {
    const std::weak_ptr<bool> alive = alive_;
    if ((events & EPOLLOUT) != 0) flush();
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_some(kMessagesPerTurn);
    if (!alive.expired()) update_watch();
}

void Connection::drain() {
    read_some(SIZE_MAX);
}

void Connection::read_some(size_t limit) {
    const std::weak_ptr<bool> alive = alive_;
    for (size_t i = 0; i < limit && phase_ != Phase::Closed && outbox_.size() <= kReadLimit; ++i) {
        auto message = channel_.receive();
        if (!message) {
            if (message.error().code() != ErrorCode::Busy) lose(message.error());
            return;
        }
        const auto taken = take(std::move(*message));
        if (alive.expired()) return;
        if (!taken) {
            lose(taken.error());
            return;
        }
    }
}

Result<void> Connection::take(Channel::Message message) {
    const auto callbacks = callbacks_;
    const auto envelope = TRY(open_envelope(message.data));
    if (phase_ == Phase::Open) return callbacks->on_message(envelope, std::move(message.descriptors));
    const uint16_t version = TRY(accept_hello(envelope, protocol_, versions_));
    phase_ = Phase::Open;
    if (callbacks->on_open) callbacks->on_open(version);
    return {};
}

}  // namespace alcove::api

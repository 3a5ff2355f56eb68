// SPDX-License-Identifier: Apache-2.0
#include "nsm/attestor_socket.hpp"

#include <utility>

#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::nsm {

namespace {

// All bodies begin with the request's number.
std::optional<uint32_t> request_of(ByteView message) {
    const auto number = read_object<Le32>(message, sizeof(api::MessageHeader));
    return number ? std::optional<uint32_t>(*number) : std::nullopt;
}

// Asking again changes nothing that asking once has not. An extension would be made twice, and a second lock
// is an error of its own (nitro.md 4.4).
bool is_repeatable(ByteView message) {
    namespace wire = api::attestor;
    const auto header = read_object<api::MessageHeader>(message);
    if (!header) return false;
    switch (header->type) {
        case wire::DescribePcr::kType:
        case wire::Describe::kType:
        case wire::Attest::kType:
        case wire::LockPcrs::kType:
            return true;
        default:
            return false;
    }
}

}  // namespace

Result<std::unique_ptr<AttestorSocket>> AttestorSocket::create(EventLoop& loop, Fd socket, Options options) {
    std::unique_ptr<AttestorSocket> made(new AttestorSocket(loop, std::move(options)));
    TRY(made->connect(std::move(socket)));
    return made;
}

AttestorSocket::~AttestorSocket() {
    disconnect();
}

Result<void> AttestorSocket::connect(Fd socket) {
    TRY(sys::set_non_blocking(socket, true));
    channel_ = Channel(std::move(socket));
    watch_ = TRY(loop_.watch(channel_.fd(), EPOLLIN, [this](uint32_t) { on_readable(); }));
    return {};
}

// From every state: no socket, no timer.
void AttestorSocket::disconnect() {
    loop_.unwatch(std::exchange(watch_, 0));
    loop_.cancel(std::exchange(timer_, 0));
    loop_.cancel(std::exchange(hold_timer_, 0));
    channel_.release();
}

Result<void> AttestorSocket::replace(Fd socket) {
    ALCOVE_CHECK(!is_connected(), "a socket is replaced when it has ended");
    disconnect();
    auto connected = connect(std::move(socket));
    if (connected) {
        send_next();
    } else {
        lose(connected.error());
    }
    return connected;
}

void AttestorSocket::give_up() {
    if (!is_connected()) lose(Error(ErrorCode::ConnectionLost, "the attestor is gone"));
}

void AttestorSocket::hold(const Error& error) {
    if (!options_.on_lost) return lose(error);
    disconnect();
    const auto may_go_again = [](const Pending& pending) {
        return is_repeatable(pending.message) && EventLoop::Clock::now() < pending.repeat_until;
    };
    if (std::exchange(in_flight_, false) && !may_go_again(pending_.front())) {
        answer_later(std::move(pending_.front().answer), error);
        pending_.pop_front();
    }
    hold_timer_ = loop_.after(options_.hold, [this] {
        hold_timer_ = 0;
        lose(Error(ErrorCode::ConnectionLost, "the attestor does not come back"));
    });
    options_.on_lost();
}

void AttestorSocket::lose(const Error& error) {
    disconnect();
    in_flight_ = false;
    for (auto& pending : std::exchange(pending_, {}))
        answer_later(std::move(pending.answer), error);
}

void AttestorSocket::answer_later(Answer answer, Error error) {
    loop_.post([alive = std::weak_ptr(alive_), answer = std::move(answer), error = std::move(error)] {
        if (!alive.expired()) answer(Failure{error});
    });
}

void AttestorSocket::ask(uint32_t request, Bytes message, Answer answer) {
    if (!is_connected() && hold_timer_ == 0)
        return answer_later(std::move(answer), Error(ErrorCode::ConnectionLost, "the attestor is gone"));
    if (pending_.size() >= kMaxWaiting)
        return answer_later(std::move(answer),
                            Error(ErrorCode::Busy, "too many requests wait for the attestor"));
    pending_.push_back({.request = request,
                        .message = std::move(message),
                        .answer = std::move(answer),
                        .repeat_until = EventLoop::Clock::now() + options_.hold});
    if (is_connected() && !in_flight_) send_next();
}

void AttestorSocket::send_next() {
    if (pending_.empty()) return;
    // The socket's queue holds many more than the one request that is ever in flight, so that Busy means a
    // peer that has stopped reading altogether.
    const auto sent = channel_.send(pending_.front().message);
    if (!sent) return hold(sent.error());
    in_flight_ = true;
    timer_ = loop_.after(options_.timeout, [this] {
        timer_ = 0;
        finish(fail(ErrorCode::Timeout, "the attestor does not answer"));
    });
}

void AttestorSocket::on_readable() {
    auto message = channel_.receive();
    if (!message) {
        if (message.error().code() == ErrorCode::Busy) return;
        log::warn("the connection to the attestor is lost: {}", message.error().to_string());
        return hold(message.error());
    }
    const auto envelope = api::open_envelope(message->data);
    if (!envelope) return lose(envelope.error());
    if (envelope->type == api::Failed::kType) {
        const auto failed = api::decode_failed(*envelope);
        return lose(failed ? failed->error : failed.error());
    }
    // Of a request that was given up, or nothing that was asked for.
    if (!in_flight_ || request_of(message->data) != pending_.front().request) return;
    finish(std::move(message->data));
}

void AttestorSocket::finish(Result<Bytes> result) {
    loop_.cancel(std::exchange(timer_, 0));
    in_flight_ = false;
    const auto answer = std::move(pending_.front().answer);
    pending_.pop_front();
    send_next();
    answer(std::move(result));
}

}  // namespace alcove::nsm

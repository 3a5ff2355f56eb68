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

}  // namespace

Result<std::unique_ptr<AttestorSocket>> AttestorSocket::create(EventLoop& loop, Fd socket,
                                                               std::chrono::milliseconds timeout) {
    std::unique_ptr<AttestorSocket> made(new AttestorSocket(loop, timeout));
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

void AttestorSocket::disconnect() {
    loop_.unwatch(std::exchange(watch_, 0));
    loop_.cancel(std::exchange(timer_, 0));
    channel_.release();
}

Result<void> AttestorSocket::replace(Fd socket) {
    lose(Error(ErrorCode::ConnectionLost, "the attestor was restarted"));
    return connect(std::move(socket));
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
    if (watch_ == 0)
        return answer_later(std::move(answer), Error(ErrorCode::ConnectionLost, "the attestor is gone"));
    if (pending_.size() >= kMaxWaiting)
        return answer_later(std::move(answer),
                            Error(ErrorCode::Busy, "too many requests wait for the attestor"));
    pending_.push_back({.request = request, .message = std::move(message), .answer = std::move(answer)});
    if (!in_flight_) send_next();
}

void AttestorSocket::send_next() {
    if (pending_.empty()) return;
    // The socket's queue holds many more than the one request that is ever in flight, so that Busy means a
    // peer that has stopped reading altogether.
    const auto sent = channel_.send(pending_.front().message);
    if (!sent) return lose(sent.error());
    in_flight_ = true;
    timer_ = loop_.after(timeout_, [this] {
        timer_ = 0;
        finish(fail(ErrorCode::Timeout, "the attestor does not answer"));
    });
}

void AttestorSocket::on_readable() {
    auto message = channel_.receive();
    if (!message) {
        if (message.error().code() == ErrorCode::Busy) return;
        log::error("the connection to the attestor is lost: {}", message.error().to_string());
        return lose(message.error());
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

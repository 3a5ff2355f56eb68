// SPDX-License-Identifier: Apache-2.0
#include "enclave/attestor_keeper.hpp"

#include <algorithm>
#include <utility>

#include <sys/socket.h>

#include "support/system.hpp"

namespace alcove::enclave {

namespace attestor = api::attestor;

namespace {
constexpr uint32_t kRequest = 1;
}

AttestorKeeper::~AttestorKeeper() {
    leave();
}

void AttestorKeeper::resume(OnResumed on_resumed) {
    ALCOVE_CHECK(token_.has_value(), "only a VM whose measurements are sealed has run");
    ALCOVE_CHECK(is_idle(), "one resume at a time");
    on_resumed_ = std::move(on_resumed);
    if (EventLoop::Clock::now() - resumed_at_ >= pace_.steady_after) pause_ = {};
    begin(Goal::Resume);
}

void AttestorKeeper::forget() {
    if (!token_ || goal_ == Goal::Forget) return;
    on_resumed_ = nullptr;
    pause_ = {};
    begin(Goal::Forget);
}

void AttestorKeeper::begin(Goal goal) {
    leave();
    goal_ = goal;
    wait();
}

void AttestorKeeper::wait() {
    timer_ = loop_.after(pause_, [this] {
        timer_ = 0;
        visit();
    });
    pause_ = std::clamp(pause_ * 2, pace_.shortest, pace_.longest);
}

void AttestorKeeper::visit() {
    const auto asked = ask();
    if (!asked) try_again(asked.error());
}

Result<void> AttestorKeeper::ask() {
    // A listener whose queue is full is an error here and no reason to wait in it.
    auto socket = TRY(sys::unix_connect(socket_path_, SOCK_SEQPACKET | SOCK_NONBLOCK));
    channel_ = Channel(std::move(socket));
    greeted_ = false;
    TRY(channel_.send(api::encode_hello(api::Protocol::Attestor, attestor::kVersions)));
    TRY(channel_.send(
        goal_ == Goal::Resume
            ? api::encode(attestor::Resume{.request = kRequest, .reserved = {}, .token = *token_})
            : api::encode(attestor::Forget{.request = kRequest, .reserved = {}, .token = *token_})));
    watch_ = TRY(loop_.watch(channel_.fd(), EPOLLIN, [this](uint32_t) { on_readable(); }));
    timer_ = loop_.after(pace_.answer_within, [this] {
        timer_ = 0;
        try_again(Error(ErrorCode::Timeout, "alcove-attestor does not answer"));
    });
    return {};
}

void AttestorKeeper::on_readable() {
    const auto message = channel_.receive();
    if (!message && message.error().code() == ErrorCode::Busy) return;
    if (!message) return try_again(message.error());
    const auto envelope = api::open_envelope(message->data);
    if (!envelope) return try_again(envelope.error());
    if (!greeted_) {
        const auto version = api::accept_hello(*envelope, api::Protocol::Attestor, attestor::kVersions);
        if (!version) return try_again(version.error());
        greeted_ = true;
        return;
    }
    const auto done = api::decode_answer<attestor::Done>(*envelope);
    if (done) return finish(channel_.release());
    // The VM is not known, or what was stored of it is damaged. Everything else passes: that the end of the
    // former connection was not seen there yet, that the attestor is short of something.
    const auto code = done.error().code();
    const bool is_final = code == ErrorCode::NotFound || code == ErrorCode::InvalidMessage;
    if (envelope->type == api::Failed::kType && is_final) return finish(Failure{done.error()});
    try_again(done.error());
}

void AttestorKeeper::try_again(const Error& error) {
    leave();
    uint64_t suppressed = 0;
    if (log_limit_.allow(suppressed))
        log::warn("at the attestor, trying again in {} ms: {} ({} similar messages left out)", pause_.count(),
                  error.to_string(), suppressed);
    wait();
}

void AttestorKeeper::finish(Result<Fd> connection) {
    leave();
    const Goal goal = std::exchange(goal_, Goal::None);
    if (goal == Goal::Forget) {
        token_.reset();
        return;
    }
    resumed_at_ = EventLoop::Clock::now();
    std::exchange(on_resumed_, nullptr)(std::move(connection));
}

// Nothing is under way any more. What was released is not closed here.
void AttestorKeeper::leave() {
    loop_.unwatch(std::exchange(watch_, 0));
    loop_.cancel(std::exchange(timer_, 0));
    channel_.release();
}

}  // namespace alcove::enclave

// SPDX-License-Identifier: Apache-2.0
#include "embedded/session.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>

#include <sys/random.h>

namespace alcove::embedded {

namespace {

constexpr Magic kHelloMagic = {'\x7f', 'a', 'l', 'c', 'o', 'v',  'e',  '-',
                               'h',    'e', 'l', 'l', 'o', '\r', '\n', '\x1a'};
constexpr Magic kWelcomeMagic = {'\x7f', 'a', 'l', 'c', 'o', 'v',  'e',  '-',
                                 'r',    'e', 'p', 'l', 'y', '\r', '\n', '\x1a'};
constexpr Magic kConfirmMagic = {'\x7f', 'a', 'l', 'c', 'o', 'v',  'e',  '-',
                                 's',    'e', 'a', 'l', '!', '\r', '\n', '\x1a'};
constexpr Magic kNoticeMagic = {'\x7f', 'a', 'l', 'c', 'o', 'v',  'e',  '-',
                                'n',    'e', 'w', 'l', 'y', '\r', '\n', '\x1a'};

Nonce random_nonce() {
    Nonce nonce;
    size_t filled = 0;
    while (filled < nonce.size()) {
        const ssize_t got = ::getrandom(nonce.data() + filled, nonce.size() - filled, 0);
        ALCOVE_CHECK(got > 0 || errno == EINTR, "the kernel has random bytes");
        if (got > 0) filled += static_cast<size_t>(got);
    }
    return nonce;
}

template <typename Message>
void append_message(Bytes& out, const Message& message) {
    const auto bytes = object_bytes(message);
    out.insert(out.end(), bytes.begin(), bytes.end());
}

std::string_view magic_text(const Magic& magic) {
    return {magic.data(), magic.size()};
}

// How many bytes can be skipped because no magic begins in them. A magic may have begun at the very end.
size_t bytes_without_magic(ByteView bytes, const Magic& one, const Magic& other) {
    const auto text = as_text(bytes);
    const size_t first = std::min(text.find(magic_text(one)), text.find(magic_text(other)));
    if (first != std::string_view::npos) return first;
    return bytes.size() < one.size() ? 0 : bytes.size() - (one.size() - 1);
}

bool begins_with(ByteView bytes, const Magic& magic) {
    return as_text(bytes).starts_with(magic_text(magic));
}

}  // namespace

void Session::become(State state) {
    state_ = state;
    if (state == State::Running) {
        mux_ = std::make_unique<Mux>(role_ == Role::Outer ? Mux::Role::Opener : Mux::Role::Acceptor,
                                     callbacks_.accept, callbacks_.wake);
    } else {
        // Its streams' endpoints are told before anything else happens.
        mux_.reset();
    }
    callbacks_.changed(state);
}

void Session::restart() {
    reader_ = FrameReader();
    greeting_.assign(kMaxFrame, 0);
    greet_wanted_ = false;
    become(State::Greeting);
    if (role_ == Role::Outer) {
        greet();
    } else {
        greeting_.insert(greeting_.end(), kNoticeMagic.begin(), kNoticeMagic.end());
    }
    callbacks_.wake();
}

void Session::greet() {
    ALCOVE_CHECK(role_ == Role::Outer, "the outer end greets");
    greet_wanted_ = false;
    if (state_ == State::Running) return;
    // What was asked before and is not sent yet is worth nothing now, but its zeros are.
    greeting_.assign(kMaxFrame, 0);
    outer_nonce_ = random_nonce();
    HelloMessage hello;
    hello.magic = kHelloMagic;
    hello.lowest_version = hello.highest_version = kProtocolVersion;
    hello.outer_nonce = outer_nonce_;
    append_message(greeting_, hello);
    callbacks_.wake();
}

void Session::broken(const Error& why) {
    uint64_t left_out = 0;
    if (broken_log_.allow(left_out))
        log::warn("bridge: the session ends: {} ({} more like this were not logged)", why.to_string(),
                  left_out);
    become(State::Greeting);
    if (role_ == Role::Outer) {
        greet_wanted_ = true;
    } else {
        greeting_.assign(kMaxFrame, 0);
        greeting_.insert(greeting_.end(), kNoticeMagic.begin(), kNoticeMagic.end());
    }
    callbacks_.wake();
}

void Session::received(size_t bytes) {
    reader_.commit(bytes);
    bool moved = true;
    while (moved) {
        switch (state_) {
            case State::Running:
                moved = take_frame();
                break;
            case State::Proving:
                moved = take_confirm();
                break;
            case State::Greeting:
            case State::Incompatible:
                moved = role_ == Role::Outer ? take_welcome() : take_greeting();
                break;
        }
    }
}

bool Session::take_frame() {
    auto frame = reader_.next();
    if (!frame) {
        broken(frame.error());
        return true;
    }
    if (!frame->has_value()) return false;
    const auto taken = mux_->receive(**frame);
    if (!taken) broken(taken.error());
    return true;
}

bool Session::take_greeting() {
    reader_.drop(bytes_without_magic(reader_.pending(), kHelloMagic, kHelloMagic));
    if (!begins_with(reader_.pending(), kHelloMagic)) return false;
    const auto hello = read_object<HelloMessage>(reader_.pending());
    if (!hello) return false;
    reader_.drop(sizeof(HelloMessage));

    inner_nonce_ = random_nonce();
    const bool shared =
        hello->lowest_version <= kProtocolVersion && kProtocolVersion <= hello->highest_version;
    WelcomeMessage welcome;
    welcome.magic = kWelcomeMagic;
    welcome.version = shared ? kProtocolVersion : uint16_t{0};
    welcome.lowest_version = welcome.highest_version = kProtocolVersion;
    welcome.outer_nonce = hello->outer_nonce;
    welcome.inner_nonce = inner_nonce_;
    append_message(greeting_, welcome);
    become(shared ? State::Proving : State::Incompatible);
    callbacks_.wake();
    return true;
}

bool Session::take_confirm() {
    const auto confirm = read_object<ConfirmMessage>(reader_.pending());
    if (!confirm) return false;
    if (confirm->magic != kConfirmMagic || confirm->inner_nonce != inner_nonce_) {
        become(State::Greeting);  // the Hello was a stale one: look for the next
        return true;
    }
    reader_.drop(sizeof(ConfirmMessage));
    become(State::Running);
    return true;
}

bool Session::take_welcome() {
    reader_.drop(bytes_without_magic(reader_.pending(), kWelcomeMagic, kNoticeMagic));
    if (begins_with(reader_.pending(), kNoticeMagic)) {
        reader_.drop(kNoticeMagic.size());
        greet_wanted_ = true;
        return true;
    }
    if (!begins_with(reader_.pending(), kWelcomeMagic)) return false;
    const auto welcome = read_object<WelcomeMessage>(reader_.pending());
    if (!welcome) return false;
    if (welcome->outer_nonce != outer_nonce_) {
        reader_.drop(kWelcomeMagic.size());
        return true;
    }
    reader_.drop(sizeof(WelcomeMessage));
    if (welcome->version != kProtocolVersion) {
        become(State::Incompatible);
        return true;
    }
    ConfirmMessage confirm;
    confirm.magic = kConfirmMagic;
    confirm.inner_nonce = welcome->inner_nonce;
    append_message(greeting_, confirm);
    become(State::Running);
    callbacks_.wake();
    return true;
}

void Session::produce(Bytes& out, size_t limit) {
    out.insert(out.end(), greeting_.begin(), greeting_.end());
    greeting_.clear();
    if (mux_) mux_->produce(out, limit);
}

}  // namespace alcove::embedded

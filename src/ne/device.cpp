// SPDX-License-Identifier: Apache-2.0
#include "ne/device.hpp"

#include <algorithm>
#include <cerrno>

namespace alcove::ne {

namespace {

// What the registers below SEND_DATA read as. COMMAND and what is reserved read as zero.
std::array<uint8_t, reg::SEND_DATA> header_bytes(uint8_t enable, uint16_t version, uint32_t evtcnt) {
    std::array<uint8_t, reg::SEND_DATA> bytes{};
    bytes[reg::ENABLE] = enable;
    const Le16 version_bytes = version;
    std::ranges::copy(object_bytes(version_bytes), bytes.begin() + reg::VERSION);
    const Le32 evtcnt_bytes = evtcnt;
    std::ranges::copy(object_bytes(evtcnt_bytes), bytes.begin() + reg::EVTCNT);
    return bytes;
}

}  // namespace

Device::Device(const Wiring& wiring, std::function<Clock::time_point()> now)
    : wiring_(wiring), now_(std::move(now)) {}

Device::~Device() = default;

// Any width at any place: the driver's copies use 1, 2 and 4 bytes, other guests' 8, and reading has no
// effect.
void Device::read(uint64_t offset, MutableByteView data) {
    state_.with([&](const State& state) {
        const uint8_t enable = state.enabled || state.releasing ? ENABLE_ON : ENABLE_OFF;
        const uint32_t evtcnt = EvtcntReply::put(0, state.replies) | EvtcntEvent::put(0, state.events);
        const auto header = header_bytes(enable, state.version, evtcnt);
        for (size_t i = 0; i < data.size(); ++i) {
            const uint64_t at = offset + i;
            if (at < reg::SEND_DATA) {
                data[i] = header[at];
            } else if (at < reg::RECV_DATA) {
                data[i] = state.send[at - reg::SEND_DATA];
            } else if (at < reg::kEnd) {
                data[i] = state.recv[at - reg::RECV_DATA];
            } else {
                data[i] = 0xff;
            }
        }
    });
}

// The three registers that act take their own width only; SEND_DATA takes every one.
void Device::write(uint64_t offset, ByteView data) {
    const bool serve = state_.with([&](State& state) {
        if (offset == reg::ENABLE && data.size() == 1) {
            write_enable(state, data[0]);
        } else if (offset == reg::VERSION && data.size() == 2) {
            // The lower of the driver's highest and ours. Not while a driver uses the one agreed on.
            if (!state.enabled)
                state.version = std::min<uint16_t>(read_object<Le16>(data).value(), VERSION_MAX);
        } else if (offset == reg::COMMAND && data.size() == 4) {
            write_command(state, read_object<Le32>(data).value());
        } else {
            for (size_t i = 0; i < data.size(); ++i)
                if (offset + i >= reg::SEND_DATA && offset + i < reg::RECV_DATA)
                    state.send[offset + i - reg::SEND_DATA] = data[i];
        }
        return wants_service(state);
    });
    if (serve) post_serve();
}

void Device::write_enable(State& state, uint8_t value) const {
    if (value == ENABLE_OFF && state.enabled) disable(state);
    // A driver that has named no version that we speak is not let in.
    if (value == ENABLE_ON && state.version != 0) state.enabled = true;
}

void Device::write_command(State& state, uint32_t command) const {
    const auto now = now_();
    const bool busy = (state.written && now <= state.written->deadline) ||
                      (state.in_hand && state.in_hand->wanted && now <= state.in_hand->deadline);
    if (!state.enabled || busy) {
        ++state.counters.ignored;
        return;
    }
    // The driver has given up what is still in hand: its reply is dropped, this one waits for its end.
    if (state.in_hand) state.in_hand->wanted = false;
    state.written = Written{.command = command, .data = state.send, .deadline = now + kReplyWithin};
}

// Ends a period: nothing that was begun in it is answered.
void Device::disable(State& state) const {
    state.enabled = false;
    state.written.reset();
    if (state.in_hand) state.in_hand->wanted = false;
    state.send = {};
    state.recv = {};
    state.replies = 0;
    state.events = 0;
    if (!state.used) return;  // nothing was raised
    state.used = false;
    state.releasing = true;
    state.release_asked = false;
    forget_interrupts();
}

// nitro.md 1.4. A driver may have masked a vector when it was raised, and must not hear of it in a later
// period.
void Device::forget_interrupts() const {
    wiring_.reply_line.forget_pending();
    wiring_.event_line.forget_pending();
}

// Whether serve() has something to do and is not on its way yet; then it is from now on.
bool Device::wants_service(State& state) {
    const bool release = state.releasing && !state.release_asked;
    const bool command = state.written && !state.in_hand && !state.releasing;
    if (state.serving || (!release && !command)) return false;
    state.serving = true;
    return true;
}

void Device::post_serve() {
    wiring_.loop.post([this, alive = std::weak_ptr<bool>(alive_)] {
        if (!alive.expired()) serve();
    });
}

void Device::serve() {
    struct Next {
        bool release = false;
        std::optional<Written> written{};
        uint64_t number = 0;
    };
    const Next next = state_.with([this](State& state) -> Next {
        state.serving = false;
        if (state.releasing) {
            const bool ask = !state.release_asked;
            state.release_asked = true;
            return {.release = ask};
        }
        if (!state.written || state.in_hand) return {};
        if (now_() > state.written->deadline) {
            // It waited behind another for longer than the driver does.
            state.written.reset();
            ++state.counters.dropped;
            return {};
        }
        Next command{.written = std::exchange(state.written, std::nullopt), .number = state.next_number++};
        ++state.counters.commands;
        state.in_hand =
            InHand{.number = command.number, .deadline = command.written->deadline, .wanted = true};
        state.used = true;
        return command;
    });
    if (next.release) {
        wiring_.backend.release_all([this, alive = std::weak_ptr<bool>(alive_)] {
            if (!alive.expired()) on_released();
        });
    }
    if (next.written) begin(next.number, *next.written);
}

void Device::begin(uint64_t number, const Written& written) {
    const auto request = parse_request(written.command, written.data);
    if (!request) return on_reply(number, refusal(EOPNOTSUPP));
    wiring_.backend.execute(*request,
                            [this, number, alive = std::weak_ptr<bool>(alive_)](const Reply& reply) {
                                if (!alive.expired()) on_reply(number, reply);
                            });
}

// The interrupt follows when the whole reply can be read. It is raised outside the lock, yet never in a later
// period: ENABLE reads 0 only after a release, which ends on this thread.
void Device::on_reply(uint64_t number, const Reply& reply) {
    ALCOVE_CHECK(is_valid_rc(rc_of(reply)), "a reply's rc is an errno or not negative");
    struct Effect {
        bool interrupt = false;
        bool serve = false;
    };
    const auto effect = state_.with([&](State& state) -> Effect {
        if (!state.in_hand || state.in_hand->number != number) {
            ++state.counters.dropped;
            return {};
        }
        Effect result;
        if (state.in_hand->wanted && now_() <= state.in_hand->deadline) {
            std::ranges::copy(object_bytes(reply), state.recv.begin());
            ++state.replies;
            if (rc_of(reply) < 0) ++state.counters.refused;
            result.interrupt = true;
        } else {
            ++state.counters.dropped;
        }
        state.in_hand.reset();
        result.serve = wants_service(state);
        return result;
    });
    if (effect.interrupt) wiring_.reply_line.trigger();
    if (effect.serve) post_serve();
}

// An interrupt that this thread was about to raise when ENABLE was written has come by now.
void Device::on_released() {
    forget_interrupts();
    const bool serve = state_.with([](State& state) {
        state.releasing = false;
        state.in_hand.reset();
        return wants_service(state);
    });
    if (serve) post_serve();
    for (const auto& done : std::exchange(release_waiters_, {}))
        done();
}

void Device::slot_changed() {
    const bool interrupt = state_.with([](State& state) {
        if (!state.enabled || !state.used) return false;
        ++state.events;
        ++state.counters.events;
        return true;
    });
    if (interrupt) wiring_.event_line.trigger();
}

void Device::release(std::function<void()> done) {
    struct Effect {
        bool wait = false;
        bool serve = false;
    };
    const auto effect = state_.with([this](State& state) -> Effect {
        disable(state);
        return {.wait = state.releasing, .serve = wants_service(state)};
    });
    if (!effect.wait) return done();
    release_waiters_.push_back(std::move(done));
    if (effect.serve) post_serve();
}

void Device::reset() {
    const bool serve = state_.with([this](State& state) {
        disable(state);
        state.version = 0;
        return wants_service(state);
    });
    if (serve) post_serve();
}

Device::Counters Device::counters() const {
    return state_.with([](const State& state) { return state.counters; });
}

}  // namespace alcove::ne

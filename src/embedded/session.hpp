// SPDX-License-Identifier: Apache-2.0
//
// One end of the bridge's conversation, without I/O: how it begins, how a version is agreed on, and how it
// begins again when either end was restarted. The wire itself (QEMU's character device and a virtio-serial
// port) says little: bytes of a dead predecessor may stand in its queues, cut anywhere.
//
//     outer                                   inner
//       zeros (one frame long), Hello  ---->  skips everything up to a Hello
//       skips up to its Welcome        <----  Welcome (the outer's nonce, its own nonce)
//       Confirm (the inner's nonce)    ---->  must come next
//       frames                         <--->  frames
//                                      <----  zeros, Notice: "I am new, greet me"
//
// The nonces are random, so that bytes inside some old stream can not be taken for a greeting: a Welcome
// counts only with the nonce just sent, and an inner end that followed a stale Hello sees no valid Confirm.
// Anything that is no frame ends the session: its streams are lost, and the outer end greets again.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "embedded/frame.hpp"
#include "embedded/mux.hpp"
#include "support/log.hpp"

namespace alcove::embedded {

inline constexpr uint16_t kProtocolVersion = 1;  // the only one so far; both ends name a range

using Nonce = std::array<uint8_t, 16>;
using Magic = std::array<char, 16>;

struct HelloMessage {
    Magic magic{};
    Le16 lowest_version;
    Le16 highest_version;
    Le32 zero;
    Nonce outer_nonce{};
};
static_assert(sizeof(HelloMessage) == 40);

struct WelcomeMessage {
    Magic magic{};
    Le16 version;  // the one to be spoken; 0: none is known to both
    Le16 lowest_version;
    Le16 highest_version;
    Le16 zero;
    Nonce outer_nonce{};
    Nonce inner_nonce{};
};
static_assert(sizeof(WelcomeMessage) == 56);

struct ConfirmMessage {
    Magic magic{};
    Nonce inner_nonce{};
};
static_assert(sizeof(ConfirmMessage) == 32);

class Session {
  public:
    enum class Role { Outer, Inner };
    enum class State { Greeting, Proving, Running, Incompatible };

    struct Callbacks {
        Mux::Accept accept;                  // inner only
        std::function<void()> wake;          // as in Mux
        std::function<void(State)> changed;  // Running: mux() can be used; else every stream is gone
    };

    Session(Role role, Callbacks callbacks) : role_(role), callbacks_(std::move(callbacks)) {}

    // The wire was (re)connected: drops what was and greets (outer) or asks to be greeted (inner).
    void restart();
    // The wire ended: every stream is gone.
    void wire_lost() { become(State::Greeting); }
    // Outer: greets anew, unless the session runs. Called now and then while no answer comes, and soon after
    // greet_wanted() became true (not at once: the inner end may be failing over and over).
    void greet();
    bool greet_wanted() const { return greet_wanted_; }

    // The wire's bytes, in the reader's own space.
    MutableByteView space() { return reader_.space(); }
    void received(size_t bytes);
    void produce(Bytes& out, size_t limit);

    State state() const { return state_; }
    Mux* mux() { return mux_.get(); }  // null unless Running

  private:
    void become(State state);
    void broken(const Error& why);
    bool take_greeting();  // inner; true when the position moved on
    bool take_welcome();   // outer
    bool take_confirm();   // inner
    bool take_frame();

    Role role_;
    Callbacks callbacks_;
    State state_ = State::Greeting;
    FrameReader reader_;
    Bytes greeting_;  // to be sent before anything else
    Nonce outer_nonce_{};
    Nonce inner_nonce_{};
    bool greet_wanted_ = false;  // a Notice came or the session broke
    log::RateLimit broken_log_{5, std::chrono::seconds(10)};
    std::unique_ptr<Mux> mux_;
};

}  // namespace alcove::embedded

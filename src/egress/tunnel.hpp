// SPDX-License-Identifier: Apache-2.0
//
// One connection of the enclave's, from its first byte to its end:
//
//     Head ──a whole request──► Dialing ──Established──► Relaying ──both ways over, an error, idle──► Over
//       │ nonsense, too slow       │ refused                                                           ▲
//       └──────────────────────────┴────────────────── an answer that says why ────────────────────────┘
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "egress/connect_request.hpp"
#include "egress/flow.hpp"
#include "support/event_loop.hpp"

namespace alcove::egress {

struct TunnelLimits {
    std::chrono::milliseconds head{10'000};   // for the request to come whole
    std::chrono::milliseconds dial{60'000};   // for the dialer's answer
    std::chrono::milliseconds idle{600'000};  // without a byte in either direction
};

class Tunnel {
  public:
    struct Callbacks {
        std::function<void(const ConnectTarget&)> dial;  // answered by dialed(), not from within
        std::function<void()> over;                      // from the loop; the tunnel may be destroyed
    };

    // The connection is non-blocking. The loop is borrowed.
    static Result<std::unique_ptr<Tunnel>> create(EventLoop& loop, Fd client, TunnelLimits limits,
                                                  Callbacks callbacks);
    ~Tunnel();
    Tunnel(const Tunnel&) = delete;
    Tunnel& operator=(const Tunnel&) = delete;

    // With a connected socket when the status is Established. Ignored when nobody waits for it any more.
    void dialed(Status status, Fd target);

  private:
    enum class State { Head, Dialing, Relaying, Over };

    Tunnel(EventLoop& loop, Fd client, TunnelLimits limits, Callbacks callbacks)
        : loop_(loop), client_(std::move(client)), limits_(limits), callbacks_(std::move(callbacks)) {}

    void on_client(uint32_t events);
    void read_head();
    void refuse(Status status);
    void relay();
    // The watch of one end has told something: an end that hung up tells nothing else any more.
    void on_relay(uint32_t events, EventLoop::WatchId& watch, const Flow& from_it, bool& is_gone);
    void set_interest(EventLoop::WatchId watch, const Flow& from_it, const Flow& to_it);
    void set_deadline(std::chrono::milliseconds patience);
    void expired();
    void end();

    EventLoop& loop_;
    Fd client_;
    Fd target_;
    const TunnelLimits limits_;
    Callbacks callbacks_;
    State state_ = State::Head;
    Bytes head_;  // at most kMaxHead bytes
    Flow to_target_;
    Flow to_client_;
    bool client_gone_ = false;  // nothing reaches it any more
    bool target_gone_ = false;
    EventLoop::WatchId client_watch_ = 0;
    EventLoop::WatchId target_watch_ = 0;
    EventLoop::TimerId timer_ = 0;
    EventLoop::Clock::time_point last_byte_{};
};

}  // namespace alcove::egress

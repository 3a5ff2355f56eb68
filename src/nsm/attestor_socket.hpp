// SPDX-License-Identifier: Apache-2.0
//
// The AttestorClient over this VM's socket. One request is in flight, a few wait; a late answer is recognised
// by its number and dropped.
//
//                 the socket ended: on_lost()             too long
//     Connected ──────────────────────────────► Holding ────────────► Lost
//         ▲                                        │ replace()          │
//         └────────────────────────────────────────┴────────────────────┘
//
// An attestor that is restarted ends the socket, and somebody brings another. Until then requests wait
// (Holding), for a guest need not notice a restart; once nobody hopes any more they fail at once (Lost). What
// was in flight goes out again where it does no harm done twice; the others fail, since nobody knows whether
// they were done. A socket that the attestor closed for a broken protocol is Lost at once.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "nsm/attestor_client.hpp"
#include "support/channel.hpp"
#include "support/event_loop.hpp"

namespace alcove::nsm {

class AttestorSocket : public AttestorClient {
  public:
    static constexpr size_t kMaxWaiting = 16;
    // Linux's driver gives up after 120 s.
    static constexpr std::chrono::milliseconds kDefaultTimeout = std::chrono::seconds(60);

    // Both together are less than the driver's patience.
    static constexpr std::chrono::milliseconds kDefaultHold = std::chrono::seconds(30);

    struct Options {
        std::chrono::milliseconds timeout = kDefaultTimeout;  // of a request that was sent
        std::chrono::milliseconds hold = kDefaultHold;
        // The socket ended and a new one would be welcome, by replace(); once for each socket. It is called
        // from the loop or from within ask(), and must not call back. Without it nothing is held.
        std::function<void()> on_lost{};
    };

    // The loop is borrowed and outlives the object. The socket is one whose VM has been opened and measured.
    static Result<std::unique_ptr<AttestorSocket>> create(EventLoop& loop, Fd socket, Options options);
    ~AttestorSocket() override;
    AttestorSocket(const AttestorSocket&) = delete;
    AttestorSocket& operator=(const AttestorSocket&) = delete;

    // Fails with Busy (too many wait), ConnectionLost, Timeout or InvalidMessage.
    void ask(uint32_t request, Bytes message, Answer answer) override;

    // Goes on over another socket, with what waits. Only while there is none.
    Result<void> replace(Fd socket);
    // No other socket will come: nothing is held any more.
    void give_up();
    bool is_connected() const { return watch_ != 0; }

  private:
    struct Pending {
        uint32_t request;
        Bytes message;
        Answer answer;
        EventLoop::Clock::time_point repeat_until;
    };

    AttestorSocket(EventLoop& loop, Options options) : loop_(loop), options_(std::move(options)) {}
    Result<void> connect(Fd socket);
    void disconnect();
    void hold(const Error& error);
    void lose(const Error& error);
    void send_next();
    void on_readable();
    void finish(Result<Bytes> result);
    void answer_later(Answer answer, Error error);

    EventLoop& loop_;
    Options options_;
    Channel channel_;
    EventLoop::WatchId watch_ = 0;       // 0: not connected
    EventLoop::TimerId timer_ = 0;       // of the request in flight
    EventLoop::TimerId hold_timer_ = 0;  // 0: not Holding
    bool in_flight_ = false;             // the first of pending_
    std::deque<Pending> pending_;
    std::shared_ptr<bool> alive_ =
        std::make_shared<bool>(true);  // tells posted tasks that the object is gone
};

}  // namespace alcove::nsm

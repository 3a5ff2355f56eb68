// SPDX-License-Identifier: Apache-2.0
//
// The AttestorClient over this VM's socket. One request is in flight, a few wait; a late answer is recognised
// by its number and dropped. When the socket is gone every request fails at once, until another socket comes
// in its place (an attestor that was restarted).
#pragma once

#include <deque>
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

    // The loop is borrowed and outlives the object. The socket is one whose VM has been opened and measured.
    static Result<std::unique_ptr<AttestorSocket>> create(
        EventLoop& loop, Fd socket, std::chrono::milliseconds timeout = kDefaultTimeout);
    ~AttestorSocket() override;
    AttestorSocket(const AttestorSocket&) = delete;
    AttestorSocket& operator=(const AttestorSocket&) = delete;

    // Fails with Busy (too many wait), ConnectionLost, Timeout or InvalidMessage.
    void ask(uint32_t request, Bytes message, Answer answer) override;

    // Goes on over another socket. What was in flight fails: nobody knows whether it was done.
    Result<void> replace(Fd socket);
    bool is_connected() const { return watch_ != 0; }

  private:
    struct Pending {
        uint32_t request;
        Bytes message;
        Answer answer;
    };

    AttestorSocket(EventLoop& loop, std::chrono::milliseconds timeout) : loop_(loop), timeout_(timeout) {}
    Result<void> connect(Fd socket);
    void disconnect();
    void lose(const Error& error);
    void send_next();
    void on_readable();
    void finish(Result<Bytes> result);
    void answer_later(Answer answer, Error error);

    EventLoop& loop_;
    std::chrono::milliseconds timeout_;
    Channel channel_;
    EventLoop::WatchId watch_ = 0;  // 0: not connected
    EventLoop::TimerId timer_ = 0;  // of the request in flight
    bool in_flight_ = false;        // the first of pending_
    std::deque<Pending> pending_;
    std::shared_ptr<bool> alive_ =
        std::make_shared<bool>(true);  // tells posted tasks that the object is gone
};

}  // namespace alcove::nsm

// SPDX-License-Identifier: Apache-2.0
//
// A connection on which we ask (broker, shim) or are asked (a client with a descriptor): api::Connection with
// requests that are matched to their answers and have deadlines. Nothing here blocks, so a slow peer delays
// nobody else.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "api/connection.hpp"

namespace alcove::daemon {

class Peer {
  public:
    struct Message {
        Bytes body;
        api::Envelope envelope;  // its body is the one above
        std::vector<Fd> descriptors;
    };
    using Answer = std::function<void(Result<Message>)>;

    struct Handlers {
        std::function<void()> open;  // both Hellos agree
        // With request id 0, or of an unnumbered type. An error closes the connection.
        std::function<Result<void>(Message)> message;
        std::function<void(const Error&)> closed;  // once, the last call
        std::vector<uint16_t> unnumbered = {};  // message types whose body does not begin with a request id
    };

    static constexpr size_t kMaxRequests = 64;  // that wait for their answers
    static constexpr std::chrono::seconds kHelloTimeout{5};

    // Takes a connected SOCK_SEQPACKET socket. Calls back only from the loop, never from here, and not after
    // destruction. Nothing may destroy a Peer from inside one of its callbacks: retire() it.
    static Result<std::unique_ptr<Peer>> create(EventLoop& loop, Fd socket, api::Protocol protocol,
                                                api::VersionRange versions, Handlers handlers);
    ~Peer() { close(); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    // A number for the next request; goes into the body that is sent.
    uint32_t next_request() { return ++last_request_ == 0 ? ++last_request_ : last_request_; }
    // The answer: a message with this id, the error of a Failed, Timeout, or ConnectionLost. Always called,
    // once, and never from inside this function.
    void request(uint32_t id, Bytes message, std::vector<Fd> descriptors, std::chrono::milliseconds timeout,
                 Answer answer);
    // Something that wants no answer.
    void send(Bytes message) { connection_->send(std::move(message)); }

    bool is_open() const { return connection_->is_open(); }
    // Ends the connection as if it were lost: everything that waits is answered with the error, then `closed`
    // is called. Also from inside a callback.
    void give_up(const Error& error);
    // From inside a callback: no further callbacks, and destroyed once the loop comes round.
    static void retire(EventLoop& loop, std::unique_ptr<Peer> peer);

  private:
    struct Pending {
        Answer answer;
        EventLoop::TimerId timer;
    };

    Peer(EventLoop& loop, Handlers handlers) : loop_(loop), handlers_(std::move(handlers)) {}
    void close();
    void end(const Error& error);
    Result<void> take(const api::Envelope& envelope, std::vector<Fd> descriptors);
    void finish(uint32_t id, Result<Message> result);

    EventLoop& loop_;
    Handlers handlers_;
    std::unique_ptr<api::Connection> connection_;
    EventLoop::TimerId hello_timer_ = 0;
    std::map<uint32_t, Pending> pending_;
    uint32_t last_request_ = 0;
};

}  // namespace alcove::daemon

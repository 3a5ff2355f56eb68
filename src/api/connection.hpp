// SPDX-License-Identifier: Apache-2.0
//
// One end of a protocol on an event loop: says Hello and checks the other's, checks the header of everything
// that comes, and queues what the peer's socket does not take yet. Nothing here blocks, and a peer that does
// not read is not read from either: its answers wait, bounded, and so do its questions.
//
//                      Hello came                  peer gone, error, close()
//     Greeting ---------------------------> Open ----------------------------> Closed
//         \_______________________________________________________________________/
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "api/protocol.hpp"
#include "support/event_loop.hpp"

namespace alcove::api {

class Connection {
  public:
    struct Callbacks {
        // The peer's Hello was accepted; may be empty.
        std::function<void(uint16_t version)> on_open;
        // A message with a well-formed header. An error closes the connection and is given to on_closed.
        std::function<Result<void>(const Envelope&, std::vector<Fd>)> on_message;
        // At most once, and not after close(). ErrorCode::ConnectionLost when the peer just hung up.
        std::function<void(const Error&)> on_closed;
    };
    // More than this many unsent messages: nothing more is read until the peer has taken some.
    static constexpr size_t kReadLimit = 64;
    // More than this many: the peer is given up.
    static constexpr size_t kSendLimit = 1024;

    // The loop is borrowed and outlives the connection. Callbacks run from the loop only, and any of them may
    // destroy the connection.
    static Result<std::unique_ptr<Connection>> create(EventLoop& loop, Channel channel, Protocol protocol,
                                                      VersionRange versions, Callbacks callbacks);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Never fails: what can not be sent is queued, what can not be queued closes the connection (from the
    // loop, a little later).
    void send(Bytes message, std::vector<Fd> descriptors = {});
    // Reads what already lies in the socket, as if the loop had called: for when the peer is known to be
    // gone.
    void drain();
    void close();

    bool is_open() const { return phase_ == Phase::Open; }
    bool is_closed() const { return phase_ == Phase::Closed; }

  private:
    enum class Phase { Greeting, Open, Closed };
    struct Outgoing {
        Bytes data;
        std::vector<Fd> descriptors;
    };

    Connection(EventLoop& loop, Channel channel, Protocol protocol, VersionRange versions,
               Callbacks callbacks)
        : loop_(loop),
          channel_(std::move(channel)),
          protocol_(protocol),
          versions_(versions),
          callbacks_(std::make_shared<const Callbacks>(std::move(callbacks))) {}
    void on_events(uint32_t events);
    void read_some(size_t limit);
    Result<void> take(Channel::Message message);
    void flush();
    void update_watch();
    void lose(const Error& error);

    EventLoop& loop_;
    Channel channel_;
    Protocol protocol_;
    VersionRange versions_;
    std::shared_ptr<const Callbacks>
        callbacks_;  // shared with the call that runs, which may destroy this object
    Phase phase_ = Phase::Greeting;
    EventLoop::WatchId watch_ = 0;
    uint32_t watched_events_ = 0;
    std::deque<Outgoing> outbox_;
    // Expires with this object: tells a running callback's caller, and posted tasks, that it is gone.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace alcove::api

// SPDX-License-Identifier: Apache-2.0
//
// How a program outside listens on a socket inside. Only the outer end opens streams, so it holds one stream
// that stands for the listening socket, and fetches each connection by a stream of its own:
//
//     "listen:/path"   the socket is there for as long as this stream; a line with a number comes for each
//                      connection that was accepted; its end means that the socket's file is gone
//     "accepted:N"     becomes connection number N
//
// Connections that nobody fetches in time, or before the first stream ends, are closed.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "embedded/listening_socket.hpp"
#include "embedded/mux.hpp"
#include "support/event_loop.hpp"

namespace alcove::embedded {

// Accepted connections that wait for the outer end, each under a number that is never used again.
class Arrivals {
  public:
    using Clock = EventLoop::Clock;
    static constexpr size_t kMost = kMaxStreams;  // more could not be fetched at once anyway
    static constexpr std::chrono::seconds kPatience{30};

    bool is_full() const { return waiting_.size() >= kMost; }
    uint64_t put(Fd connection, StreamId listener, Clock::time_point now);
    // ErrorCode::NotFound for a number that was never given, was used or is too old.
    Result<Fd> take(uint64_t number);
    void expire(Clock::time_point now);
    void drop(StreamId listener);

  private:
    struct Arrival {
        Fd connection;
        StreamId listener;
        Clock::time_point until;
    };
    std::map<uint64_t, Arrival> waiting_;
    uint64_t next_ = 1;
};

class ListenEndpoint : public StreamEndpoint {
  public:
    // Loop, mux and arrivals are borrowed.
    static Result<std::unique_ptr<ListenEndpoint>> create(EventLoop& loop, Mux& mux, StreamId id,
                                                          Arrivals& arrivals, const std::string& path);
    ~ListenEndpoint() override { stop(); }

    Pulled pull(MutableByteView into) override;
    void deliver(ByteView bytes) override { mux_.consumed(id_, bytes.size()); }
    void peer_shutdown() override { stop(); }
    void closed(const Error*) override { stop(); }

  private:
    static constexpr auto kLook = std::chrono::seconds(1);

    ListenEndpoint(EventLoop& loop, Mux& mux, StreamId id, Arrivals& arrivals, ListeningSocket socket)
        : loop_(loop), mux_(mux), id_(id), arrivals_(arrivals), socket_(std::move(socket)) {}
    Result<void> watch();
    void accept();
    void look();
    void stop();

    EventLoop& loop_;
    Mux& mux_;
    StreamId id_;
    Arrivals& arrivals_;
    std::optional<ListeningSocket> socket_;  // empty: stopped
    EventLoop::WatchId watch_ = 0;
    EventLoop::TimerId timer_ = 0;
    std::string text_;  // not sent yet
};

}  // namespace alcove::embedded

// SPDX-License-Identifier: Apache-2.0
//
// A stream whose local side is a descriptor: a Unix stream socket that a client connected, or that was
// connected to a server. Bytes go both ways, each direction ends by itself (shutdown), and a socket that
// takes no more bytes holds up only its own stream.
//
// A program that closes its socket at once, as a server does after its answer, may still be sent to. What
// it said before must arrive, so the stream is not reset then: further bytes are dropped, and only when the
// sender has not stopped after kLinger is it cut off.
#pragma once

#include <functional>

#include "embedded/mux.hpp"
#include "support/event_loop.hpp"
#include "support/fd.hpp"

namespace alcove::embedded {

class FdEndpoint : public StreamEndpoint {
  public:
    struct Hooks {
        std::function<void()> opened;  // before the first byte of the other side
        std::function<void(const Error* reason)>
            closed;  // the socket is still open and is closed right after
    };

    // `socket` is made non-blocking. A failure to watch it shows as a reset of the stream.
    FdEndpoint(EventLoop& loop, Mux& mux, StreamId id, Fd socket);
    ~FdEndpoint() override;

    Pulled pull(MutableByteView into) override;
    void deliver(ByteView bytes) override;
    void opened() override;
    void peer_shutdown() override;
    void closed(const Error* reason) override;

    const Fd& socket() const { return socket_; }
    void set_hooks(Hooks hooks) { hooks_ = std::move(hooks); }

  private:
    static constexpr auto kLinger = std::chrono::seconds(5);

    void on_event(uint32_t events);
    void watch(uint32_t events);
    void write_out();
    void output_ended();

    EventLoop& loop_;
    Mux& mux_;
    StreamId id_;
    Fd socket_;
    Hooks hooks_;
    EventLoop::WatchId watch_ = 0;
    uint32_t watched_ = 0;
    EventLoop::TimerId linger_timer_ = 0;
    bool hung_up_ = false;      // the program has closed: reading ends with what is there
    bool output_dead_ = false;  // what comes is dropped
    bool peer_ended_ = false;
    Bytes waiting_;       // delivered, not yet written; at most kWindow
    size_t written_ = 0;  // of waiting_
};

}  // namespace alcove::embedded

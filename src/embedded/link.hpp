// SPDX-License-Identifier: Apache-2.0
//
// A Session on a descriptor and an event loop: reads the wire, writes it, greets again when it has to. Owned
// by the thread of its loop. The descriptor is a Unix stream socket (outer end) or a virtio-serial port
// (inner end); both are non-blocking.
#pragma once

#include <functional>

#include "embedded/session.hpp"
#include "support/event_loop.hpp"
#include "support/fd.hpp"

namespace alcove::embedded {

class Link {
  public:
    struct Callbacks {
        Mux::Accept accept;                           // inner only
        std::function<void(Session::State)> changed;  // see Session
        // The wire ended. A port's other end may come back: see Agent. Not called by the destructor.
        std::function<void()> lost;
    };

    static Result<std::unique_ptr<Link>> create(EventLoop& loop, Fd wire, Session::Role role,
                                                Callbacks callbacks);
    ~Link();
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    Session::State state() const { return session_.state(); }
    Mux* mux() { return session_.mux(); }
    const Fd& wire() const { return wire_; }

    // After lost(): the wire is usable again.
    Result<void> resume();

  private:
    Link(EventLoop& loop, Fd wire, Session::Role role, Callbacks callbacks);

    void on_event(uint32_t events);
    bool read_wire();  // false when the wire ended
    void flush();
    void flush_soon();
    void watch_output(bool on);
    void lose();
    void greet_later(EventLoop::Clock::duration delay);

    EventLoop& loop_;
    Session::Role role_;
    Fd wire_;
    Callbacks callbacks_;
    // Tasks posted to the loop outlive this object; they hold this token weakly and look before they leap.
    std::shared_ptr<Link*> self_;
    EventLoop::WatchId watch_ = 0;
    EventLoop::TimerId greet_timer_ = 0;
    bool watching_output_ = false;
    bool flush_posted_ = false;
    Bytes out_;
    size_t out_sent_ = 0;
    Session session_;  // last: its endpoints use what is above
};

}  // namespace alcove::embedded

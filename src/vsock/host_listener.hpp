// SPDX-License-Identifier: Apache-2.0
//
// The door through which host programs reach ports of a guest: a listening Unix stream socket. A client
// sends the line `CONNECT <port>\n`, gets `OK <host port>\n` once the guest accepted, and from then on has
// the raw stream; when the guest refuses, or the line is wrong, the connection is closed. What the client
// sends right behind its line already belongs to the stream.
//
// On the event loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "support/event_loop.hpp"
#include "vsock/host_backend.hpp"

namespace alcove::vsock {

// The port of a line without its newline, or nothing.
std::optional<Port> parse_connect_line(std::string_view line);

class HostListener {
  public:
    static constexpr std::chrono::seconds kLineTimeout{10};
    static constexpr size_t kMaxLine = 32;
    static constexpr size_t kMaxWaiting = 1024;  // clients that have not sent their line

    // Loop and backend are borrowed; `listening` is a listening stream socket.
    static Result<std::unique_ptr<HostListener>> create(EventLoop& loop, HostBackend& backend, Fd listening);
    ~HostListener();
    HostListener(const HostListener&) = delete;
    HostListener& operator=(const HostListener&) = delete;

    struct Counters {
        uint64_t clients = 0;
        uint64_t turned_away = 0;  // no line in time, a wrong one, no guest, or over a limit
    };
    const Counters& counters() const { return counters_; }

  private:
    using ClientId = uint64_t;
    struct Client {
        Fd socket;
        EventLoop::WatchId watch = 0;
        EventLoop::TimerId timer = 0;
    };

    HostListener(EventLoop& loop, HostBackend& backend, Fd listening)
        : loop_(loop), backend_(backend), listening_(std::move(listening)) {}

    Result<void> listen();
    void on_connectable();
    Result<void> add_client(Fd socket);
    void on_readable(ClientId id);
    Fd take_out(ClientId id);
    void turn_away(ClientId id);

    EventLoop& loop_;
    HostBackend& backend_;
    Fd listening_;
    EventLoop::WatchId watch_ = 0;
    EventLoop::TimerId retry_ = 0;  // accepting again after the process ran out of descriptors
    ClientId next_client_ = 1;
    std::unordered_map<ClientId, Client> clients_;
    Counters counters_;
};

}  // namespace alcove::vsock

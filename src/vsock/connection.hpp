// SPDX-License-Identifier: Apache-2.0
//
// One stream between a port of the guest and a socket of the host. What the guest sees of it:
//
//     guest: REQUEST ──► Opening ── socket ──► Open ◄── guest: RESPONSE ── Requesting ◄── host program
//                           │       RESPONSE    │                              │
//                     refused, timeout          │ host hung up:           timeout, host hung up
//                           │                   ├──SHUTDOWN──► Closing         │
//                           ▼                   ▼                 │            │
//                       Resetting ◄── guest: SHUTDOWN(both), ◄────┴────────────┘
//                           │         or broke a rule       timeout
//                    RST handed over
//                           ▼
//                         Gone  ◄── guest: RST, from any state
//
// The host's side has a life of its own: its socket stays until what the guest sent before a regular end
// (SHUTDOWN) has been written to it, also when the guest's side is Gone by then.
//
// Half-closes inside Open: the host program's end of stream becomes SHUTDOWN(SEND), its refusal to read
// SHUTDOWN(RCV); the guest's SHUTDOWN(SEND) becomes the end of stream for the host program once everything
// before it was written, its SHUTDOWN(RCV) makes the host program's writes fail.
//
// Bytes move straight between guest memory and socket. Only when the socket is full are the guest's bytes
// copied; how many there can be is what we promised as window. Towards the guest nothing is ever stored:
// what does not fit stays in the socket.
//
// The object does no waiting: it acts on packets, socket events and deadlines, and its owner asks
// afterwards what it needs.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "memory/guest_memory.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"
#include "vsock/byte_queue.hpp"
#include "vsock/credit.hpp"
#include "vsock/rx_ring.hpp"
#include "vsock/spec.hpp"

namespace alcove::vsock {

struct ConnectionKey {
    Cid host_cid;  // the guest calls the host by more than one name
    Port host_port;
    Port guest_port;
    bool operator==(const ConnectionKey&) const = default;
};

// What happened, for inspection. One set for all connections of a guest.
struct TrafficCounters {
    uint64_t bytes_to_host = 0;
    uint64_t bytes_to_guest = 0;
    uint64_t bytes_copied = 0;   // of those to the host: had to wait in our memory
    uint64_t bytes_dropped = 0;  // from the guest, for host programs that were gone
    uint64_t resets_sent = 0;
    uint64_t violations = 0;  // packets against the rules
    uint64_t credit_updates_sent = 0;
};

// How long is waited.
struct Patience {
    std::chrono::milliseconds handshake{10'000};  // for either side to answer a request
    std::chrono::milliseconds close{8'000};  // for the guest's RST after our SHUTDOWN; as long as Linux waits
    std::chrono::milliseconds drain{60'000};  // without progress, for a program to read what a guest left
    std::chrono::milliseconds credit{1'000};  // without credit, before the guest is asked for it
};

// What all connections of a guest have in common.
struct ConnectionContext {
    Cid guest_cid{};
    Patience patience{};
    TrafficCounters counters{};
};

class Connection {
  public:
    using Clock = std::chrono::steady_clock;

    enum class State { Opening, Requesting, Open, Closing, Resetting, Gone };

    // The context is borrowed. The guest asked with `request`:
    Connection(ConnectionContext& context, const ConnectionKey& key, uint32_t window, const Header& request);
    // A host program asked on this socket:
    Connection(ConnectionContext& context, const ConnectionKey& key, uint32_t window, Fd socket);

    const ConnectionKey& key() const { return key_; }
    State state() const { return state_; }
    uint32_t window() const { return receive_credit_.window(); }
    uint64_t buffered_bytes() const { return to_host_.capacity(); }

    // What happens to it. A socket is non-blocking and connected.
    void opened(Fd socket);           // Opening
    void refused();                   // Opening
    void abandon() { reset(false); }  // we cannot serve it
    void receive(const Header& header, std::span<const memory::GuestSlice> payload);
    void on_socket(uint32_t events);  // EPOLLIN ... as seen edge-triggered
    void on_deadline();

    // What it needs.
    bool has_control() const;
    bool has_data() const;
    bool wants_writable() const { return socket_.is_open() && !to_host_.is_empty(); }
    bool is_socket_done() const { return socket_done_; }  // the owner calls close_socket()
    std::optional<Clock::time_point> deadline() const { return deadline_; }
    // The guest does not know it any more: its key is free.
    bool is_gone() const { return state_ == State::Gone; }
    bool is_finished() const { return is_gone() && !socket_.is_open(); }

    // Towards the guest: one packet, or one turn of at most `limit` bytes. False when buffers ran out.
    Result<bool> send_control(RxRing& ring);
    Result<bool> send_data(RxRing& ring, uint32_t limit);

    const Fd& socket() const { return socket_; }
    void close_socket();

  private:
    enum Pending : uint32_t {
        kRequest = 1,
        kResponse = 2,
        kReset = 4,
        kCreditUpdate = 8,
        kCreditRequest = 16,
    };

    void receive_data(std::span<const memory::GuestSlice> payload, uint32_t length);
    void receive_shutdown(uint32_t flags);
    void receive_response();
    void forwarded(uint64_t bytes);
    void write_waiting();
    void host_lost();
    void end_of_host_data();
    void reset(bool keep_host_data);
    void violation();
    void finish_host_side(bool keep_host_data);
    void enter(State state);
    uint32_t shutdown_due() const;
    Header header(Op op) const;
    void sent_header();
    void wait_at_most(std::chrono::milliseconds time) { deadline_ = Clock::now() + time; }

    ConnectionContext& context_;
    const ConnectionKey key_;
    State state_;
    Fd socket_;
    ReceiveCredit receive_credit_;
    SendCredit send_credit_;
    ByteQueue to_host_;
    std::optional<Clock::time_point> deadline_;

    uint32_t pending_ = 0;            // Pending bits; SHUTDOWN follows from shutdown_due()
    uint32_t guest_shutdown_ = 0;     // shutdown_flag bits that the guest sent
    uint32_t sent_shutdown_ = 0;      // ... that we sent
    uint32_t read_size_ = 16 * 1024;  // how much the next read asks for
    bool readable_ = false;           // the socket may have something
    bool host_ended_ = false;         // the host program sends no more
    bool host_refuses_ = false;       // the host program takes no more
    bool output_ended_ = false;       // we said so to the host program
    bool hung_up_ = false;            // EPOLLHUP: neither way
    bool socket_done_ = false;
};

}  // namespace alcove::vsock

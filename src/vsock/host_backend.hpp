// SPDX-License-Identifier: Apache-2.0
//
// The programs of this host as a peer of the guest: a table of connections between ports of the guest and
// stream sockets of the host. Guests connect through a PortOpener, host programs through connect().
//
// Nothing here grows with what a guest does: the table is capped, windows come from one budget, a
// connection has at most one bit of each control packet pending, and replies that belong to no connection
// wait in a short list, beyond which they are dropped.
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "support/event_loop.hpp"
#include "support/log.hpp"
#include "vsock/backend.hpp"
#include "vsock/connection.hpp"
#include "vsock/port_opener.hpp"

namespace alcove::vsock {

class HostBackend : public Backend {
  public:
    struct Options {
        Cid guest_cid{};
        // The guest reaches us as these; host programs appear as the first.
        std::vector<Cid> host_cids = {Cid::Parent, Cid::Host};
        // Ports of the host for root inside alone: a guest's kernel gives ports below kFirstFreePort to
        // nobody else (Linux, LAST_RESERVED_PORT in net/vmw_vsock/af_vsock.c).
        std::vector<Port> root_ports = {};
        // The ports that are served, the others being somebody else's; empty: all.
        std::vector<Port> only_ports = {};
        size_t max_connections = 4096;
        uint64_t buffer_budget = 64 * 1024 * 1024;  // bytes; see WindowBudget
        Patience patience{};
    };

    static constexpr Port kFirstFreePort{1024};

    // Loop and opener are borrowed. On the loop's thread.
    HostBackend(EventLoop& loop, PortOpener& opener, Options options);
    ~HostBackend() override;
    HostBackend(const HostBackend&) = delete;
    HostBackend& operator=(const HostBackend&) = delete;

    // A host program asks for a port of the guest. The socket is a connected stream socket; when the guest
    // accepts, the line "OK <host port>\n" is written to it and the stream begins, otherwise it is closed.
    // ErrorCode::ConnectionLost when the guest's driver is not there, ErrorCode::LimitExceeded when the
    // table is full.
    Result<void> connect(Fd socket, Port guest_port);

    bool serves(Cid cid) const override;
    bool serves(Cid cid, Port port) const override;
    void activate() override { is_active_ = true; }
    void reset() override;
    void receive(const Header& header, std::span<const memory::GuestSlice> payload) override;
    bool has_packets() const override;
    Result<bool> send(RxRing& ring) override;

    // For inspection.
    struct Counters {
        uint64_t accepted = 0;         // connections of the guest
        uint64_t refused = 0;          // ... nobody listened, or over a limit
        uint64_t host_requests = 0;    // connections of host programs
        uint64_t stray_packets = 0;    // for no connection
        uint64_t replies_dropped = 0;  // the list of stray replies was full
    };
    const Counters& counters() const { return counters_; }
    const TrafficCounters& traffic() const { return context_.counters; }
    size_t connection_count() const { return connections_.size(); }
    uint64_t buffered_bytes() const;  // memory held for host programs that do not read

  private:
    using Serial = uint64_t;  // never reused
    using Turns = std::list<Serial>;

    struct KeyHash {
        size_t operator()(const ConnectionKey& key) const;
    };
    struct Entry {
        Entry(Serial its_serial, Connection its_connection)
            : serial(its_serial), connection(std::move(its_connection)) {}
        const Serial serial;
        Connection connection;
        EventLoop::WatchId watch = 0;
        bool watches_writable = false;
        bool is_indexed = true;
        // Where it stands in line, if it does.
        std::optional<Turns::iterator> control_turn;
        std::optional<Turns::iterator> data_turn;
    };

    void receive_stray(const Header& header);
    void open_for_guest(const ConnectionKey& key, const Header& request);
    void opened(Serial serial, Result<Fd> socket);
    Entry& insert(Connection connection);
    Result<void> adopt_socket(Entry& entry);
    void settle(Entry& entry);
    void line_up(Turns& line, std::optional<Turns::iterator>& place, Serial serial, bool wanted);
    void remove(Entry& entry);
    void reply_reset(const Header& to);
    Result<Port> free_host_port(Port guest_port);
    void check_deadlines();
    void arm_deadlines();

    EventLoop& loop_;
    PortOpener& opener_;
    const Options options_;
    WindowBudget budget_;
    ConnectionContext context_;
    bool is_active_ = false;

    Serial next_serial_ = 1;
    uint32_t next_host_port_;
    std::unordered_map<Serial, std::unique_ptr<Entry>> connections_;
    std::unordered_map<ConnectionKey, Entry*, KeyHash> by_key_;
    Turns control_line_;
    Turns data_line_;
    std::deque<Header> stray_replies_;
    size_t opens_under_way_ = 0;
    EventLoop::TimerId deadline_timer_ = 0;  // checks all deadlines
    Counters counters_;
    log::RateLimit violation_log_{5, std::chrono::seconds(10)};
    // Answers of the opener that come after our end find it expired.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace alcove::vsock

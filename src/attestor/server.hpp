// SPDX-License-Identifier: Apache-2.0
//
// The attestor on its socket: who may connect, one Session for each connection, and fairness between them.
// Each connection has one message handled per turn of the loop and is not read while its answer waits to be
// taken, so a VM that floods gets its share of the time and nobody else's.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <unordered_map>

#include <sys/types.h>

#include "attestor/authority.hpp"
#include "attestor/session.hpp"
#include "attestor/session_store.hpp"
#include "support/channel.hpp"
#include "support/event_loop.hpp"
#include "support/log.hpp"

namespace alcove::attestor {

class Server {
  public:
    struct Options {
        std::set<uid_t> brokers{0};  // users who may open VMs
        std::set<uid_t> readers{};   // users who may ask for the root certificate and the status
        size_t max_connections = 4096;
        std::chrono::milliseconds greeting_timeout = std::chrono::seconds(10);
        std::chrono::seconds renew_before = std::chrono::minutes(10);
        std::chrono::seconds resume_within = std::chrono::minutes(15);
    };

    // The loop is borrowed and outlives the server. The listener is a SOCK_SEQPACKET socket.
    static Result<std::unique_ptr<Server>> create(EventLoop& loop, Fd listener, Authority authority,
                                                  SessionStore store, Options options);
    // The VMs' stored state stays, for the next start.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // A connection that somebody else accepted, or made.
    Result<void> adopt(Fd socket, PeerRole role);

    const Counters& counters() const { return shared_.counters; }
    size_t connections() const { return connections_.size(); }

  private:
    struct Connection {
        Connection(Channel made_channel, Shared& shared, PeerRole role)
            : channel(std::move(made_channel)), session(shared, role) {}

        Channel channel;
        Session session;
        std::optional<Bytes> unsent;  // nothing is read while it waits
        bool closing = false;         // after `unsent`
        EventLoop::WatchId watch = 0;
        EventLoop::TimerId greeting_timer = 0;
    };
    using ConnectionId = uint64_t;

    Server(EventLoop& loop, Fd listener, Authority authority, SessionStore store, Options options);
    Result<void> listen();
    void accept_one();
    void pause_listening();
    void on_events(ConnectionId id, uint32_t events);
    void handle_one(ConnectionId id, Connection& connection);
    void flush(ConnectionId id, Connection& connection);
    void drop(ConnectionId id);
    void remove_unclaimed_files();
    void warn(const std::string& line);

    EventLoop& loop_;
    Fd listener_;
    Authority authority_;
    SessionStore store_;
    Options options_;
    Shared shared_;
    EventLoop::WatchId listener_watch_ = 0;
    EventLoop::TimerId listener_timer_ = 0;
    EventLoop::TimerId resume_timer_ = 0;
    ConnectionId next_id_ = 1;
    std::unordered_map<ConnectionId, std::unique_ptr<Connection>> connections_;
    log::RateLimit log_limit_{20, std::chrono::minutes(1)};
};

}  // namespace alcove::attestor

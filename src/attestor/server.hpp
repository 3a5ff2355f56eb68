// SPDX-License-Identifier: Apache-2.0
//
// The attestor on its sockets: who may connect, one Session for each connection, and fairness between them.
// There is a socket for the broker and for readers, and one for shims, so that the modes of files keep
// everybody else, VMMs too, away from both. Each connection has one message handled per turn of the loop and
// is not read while its answer waits to be taken, so a VM that floods gets its share of the time and nobody
// else's.
//
// A VM whose connection ends keeps its state for a while, since its shim may come back for it.
#pragma once

#include <array>
#include <memory>
#include <optional>
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
        std::set<uid_t> keepers{};   // users of shims, who may take up VMs and end them
        size_t max_connections = 4096;
        std::chrono::milliseconds greeting_timeout = std::chrono::seconds(10);
        std::chrono::seconds renew_before = std::chrono::minutes(10);
        std::shared_ptr<const SgxRoots> sgx_roots{};                    // null: none are given
        std::chrono::seconds resume_within = std::chrono::minutes(15);  // after a start
        // After a connection's end. A shim that lives tries more often than every ten seconds.
        std::chrono::milliseconds keep_lost = std::chrono::minutes(2);
    };
    // SOCK_SEQPACKET sockets. Without the second no VM can be taken up.
    struct Listeners {
        Fd main;  // brokers and readers
        Fd shims{};
    };

    // The loop is borrowed and outlives the server.
    static Result<std::unique_ptr<Server>> create(EventLoop& loop, Listeners listeners, Authority authority,
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

    struct Door {
        Fd listener;
        bool for_shims;
        EventLoop::WatchId watch = 0;
        EventLoop::TimerId timer = 0;  // while it pauses
    };

    Server(EventLoop& loop, Listeners listeners, Authority authority, SessionStore store, Options options);
    Result<void> listen(Door& door);
    void accept_one(Door& door);
    void pause(Door& door);
    std::optional<PeerRole> role_of(const Door& door, uid_t user) const;
    void on_events(ConnectionId id, uint32_t events);
    void handle_one(ConnectionId id, Connection& connection);
    void flush(ConnectionId id, Connection& connection);
    void drop(ConnectionId id);
    void keep_for_a_while(const std::string& name);
    void remove_unclaimed_files();
    void warn(const std::string& line);

    EventLoop& loop_;
    std::array<Door, 2> doors_;
    Authority authority_;
    SessionStore store_;
    Options options_;
    Shared shared_;
    EventLoop::TimerId resume_timer_ = 0;
    // Of VMs whose connection ended, by their names in the store: until when. It may be back meanwhile.
    std::unordered_map<std::string, EventLoop::TimerId> lost_;
    ConnectionId next_id_ = 1;
    std::unordered_map<ConnectionId, std::unique_ptr<Connection>> connections_;
    log::RateLimit log_limit_{20, std::chrono::minutes(1)};
};

}  // namespace alcove::attestor

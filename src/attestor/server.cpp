// SPDX-License-Identifier: Apache-2.0
#include "attestor/server.hpp"

#include <cerrno>
#include <utility>

#include "support/system.hpp"

namespace alcove::attestor {

namespace {
constexpr auto kAcceptPause = std::chrono::seconds(1);  // when there are no descriptors left
}

Server::Server(EventLoop& loop, Listeners listeners, Authority authority, SessionStore store, Options options)
    : loop_(loop),
      doors_{Door{.listener = std::move(listeners.main), .for_shims = false},
             Door{.listener = std::move(listeners.shims), .for_shims = true}},
      authority_(std::move(authority)),
      store_(std::move(store)),
      options_(std::move(options)),
      shared_{.authority = authority_,
              .store = store_,
              .sgx_roots = options_.sgx_roots.get(),
              .renew_before = options_.renew_before} {}

Result<std::unique_ptr<Server>> Server::create(EventLoop& loop, Listeners listeners, Authority authority,
                                               SessionStore store, Options options) {
    std::unique_ptr<Server> server(
        new Server(loop, std::move(listeners), std::move(authority), std::move(store), std::move(options)));
    for (Door& door : server->doors_) {
        if (!door.listener.is_open()) continue;
        TRY(sys::set_non_blocking(door.listener, true));
        TRY(server->listen(door));
    }
    server->resume_timer_ = loop.after(server->options_.resume_within, [self = server.get()] {
        self->resume_timer_ = 0;
        self->remove_unclaimed_files();
    });
    return server;
}

Server::~Server() {
    for (const Door& door : doors_) {
        loop_.unwatch(door.watch);
        loop_.cancel(door.timer);
    }
    loop_.cancel(resume_timer_);
    for (const auto& [name, timer] : lost_)
        loop_.cancel(timer);
    for (const auto& [id, connection] : connections_) {
        loop_.unwatch(connection->watch);
        loop_.cancel(connection->greeting_timer);
    }
}

Result<void> Server::listen(Door& door) {
    door.watch = TRY(loop_.watch(door.listener, EPOLLIN, [this, &door](uint32_t) { accept_one(door); }));
    return {};
}

void Server::pause(Door& door) {
    loop_.unwatch(std::exchange(door.watch, 0));
    door.timer = loop_.after(kAcceptPause, [this, &door] {
        door.timer = 0;
        const auto listening = listen(door);
        if (!listening) pause(door);
    });
}

std::optional<PeerRole> Server::role_of(const Door& door, uid_t user) const {
    if (door.for_shims)
        return options_.keepers.contains(user) ? std::optional(PeerRole::Keeper) : std::nullopt;
    if (options_.brokers.contains(user)) return PeerRole::Broker;
    return options_.readers.contains(user) ? std::optional(PeerRole::Reader) : std::nullopt;
}

void Server::accept_one(Door& door) {
    auto socket = sys::accept(door.listener);
    if (!socket) {
        const int reason = socket.error().errno_value();
        if (reason == EMFILE || reason == ENFILE || reason == ENOMEM || reason == ENOBUFS) {
            warn("no connection can be taken: " + socket.error().to_string());
            pause(door);
        }
        return;
    }
    const auto peer = sys::peer_credentials(*socket);
    const auto role = peer ? role_of(door, peer->uid) : std::nullopt;
    if (!role) {
        ++shared_.counters.refused_peers;
        warn("refused a connection from user " + (peer ? std::to_string(peer->uid) : std::string("unknown")));
        return;
    }
    if (connections_.size() >= options_.max_connections) {
        warn("refused a connection: there are " + std::to_string(connections_.size()));
        return;
    }
    const auto adopted = adopt(std::move(*socket), *role);
    if (!adopted) warn("a connection cannot be served: " + adopted.error().to_string());
}

Result<void> Server::adopt(Fd socket, PeerRole role) {
    TRY(sys::set_non_blocking(socket, true));
    const ConnectionId id = next_id_++;
    auto connection = std::make_unique<Connection>(Channel(std::move(socket)), shared_, role);
    connection->watch = TRY(loop_.watch(connection->channel.fd(), EPOLLIN,
                                        [this, id](uint32_t events) { on_events(id, events); }));
    connection->greeting_timer = loop_.after(options_.greeting_timeout, [this, id] { drop(id); });
    connection->unsent = api::encode_hello(api::Protocol::Attestor, api::attestor::kVersions);
    auto& placed = *connections_.emplace(id, std::move(connection)).first->second;
    flush(id, placed);
    return {};
}

void Server::on_events(ConnectionId id, uint32_t events) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    auto& connection = *found->second;
    if (connection.unsent) {
        flush(id, connection);
        return;
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) handle_one(id, connection);
}

void Server::handle_one(ConnectionId id, Connection& connection) {
    auto message = connection.channel.receive();
    if (!message) {
        if (message.error().code() != ErrorCode::Busy) drop(id);
        return;
    }
    auto reply = connection.session.handle(message->data);
    if (connection.session.is_greeted() && connection.greeting_timer != 0) {
        loop_.cancel(connection.greeting_timer);
        connection.greeting_timer = 0;
    }
    if (reply.violation) {
        warn("a connection" +
             (connection.session.vm_id().empty() ? std::string() : " of VM " + connection.session.vm_id()) +
             " was closed: " + reply.violation->to_string());
        connection.closing = true;
    }
    connection.unsent = std::move(reply.message);
    flush(id, connection);
}

void Server::flush(ConnectionId id, Connection& connection) {
    if (connection.unsent) {
        const auto sent = connection.channel.send(*connection.unsent);
        const bool later = !sent && sent.error().code() == ErrorCode::Busy;
        if ((!sent && !later) || (later && connection.closing)) {
            drop(id);
            return;
        }
        if (!later) connection.unsent.reset();
    }
    if (connection.closing) {
        drop(id);
        return;
    }
    const auto changed = loop_.change(connection.watch, connection.unsent ? EPOLLOUT : EPOLLIN);
    if (!changed) drop(id);
}

void Server::drop(ConnectionId id) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    auto& connection = *found->second;
    loop_.unwatch(connection.watch);
    loop_.cancel(connection.greeting_timer);
    const auto stored = connection.session.stored_name();
    connections_.erase(found);
    if (stored) keep_for_a_while(*stored);
}

void Server::keep_for_a_while(const std::string& name) {
    auto& timer = lost_[name];
    loop_.cancel(timer);  // it was lost before
    timer = loop_.after(options_.keep_lost, [this, name] {
        lost_.erase(name);
        if (!shared_.open_files.contains(name)) store_.remove_named(name);
    });
}

void Server::remove_unclaimed_files() {
    const auto names = store_.names();
    if (!names) return warn("stored VMs cannot be listed: " + names.error().to_string());
    for (const auto& name : *names)
        if (!shared_.open_files.contains(name) && !lost_.contains(name)) store_.remove_named(name);
}

void Server::warn(const std::string& line) {
    uint64_t suppressed = 0;
    if (!log_limit_.allow(suppressed)) return;
    if (suppressed > 0) log::warn("{} more lines were left out", suppressed);
    log::warn("{}", line);
}

}  // namespace alcove::attestor

// SPDX-License-Identifier: Apache-2.0
#include "attestor/server.hpp"

#include "support/system.hpp"

namespace alcove::attestor {

namespace {
constexpr auto kAcceptPause = std::chrono::seconds(1);  // when there are no descriptors left
}

Server::Server(EventLoop& loop, Fd listener, Authority authority, SessionStore store, Options options)
    : loop_(loop),
      listener_(std::move(listener)),
      authority_(std::move(authority)),
      store_(std::move(store)),
      options_(std::move(options)),
      shared_{.authority = authority_, .store = store_, .renew_before = options_.renew_before} {}

Result<std::unique_ptr<Server>> Server::create(EventLoop& loop, Fd listener, Authority authority,
                                               SessionStore store, Options options) {
    TRY(sys::set_non_blocking(listener, true));
    std::unique_ptr<Server> server(
        new Server(loop, std::move(listener), std::move(authority), std::move(store), std::move(options)));
    TRY(server->listen());
    server->resume_timer_ = loop.after(server->options_.resume_within, [self = server.get()] {
        self->resume_timer_ = 0;
        self->remove_unclaimed_files();
    });
    return server;
}

Server::~Server() {
    loop_.unwatch(listener_watch_);
    loop_.cancel(listener_timer_);
    loop_.cancel(resume_timer_);
    for (const auto& [id, connection] : connections_) {
        loop_.unwatch(connection->watch);
        loop_.cancel(connection->greeting_timer);
    }
}

Result<void> Server::listen() {
    listener_watch_ = TRY(loop_.watch(listener_, EPOLLIN, [this](uint32_t) { accept_one(); }));
    return {};
}

void Server::pause_listening() {
    loop_.unwatch(listener_watch_);
    listener_watch_ = 0;
    listener_timer_ = loop_.after(kAcceptPause, [this] {
        listener_timer_ = 0;
        const auto listening = listen();
        if (!listening) pause_listening();
    });
}

void Server::accept_one() {
    auto socket = sys::accept(listener_);
    if (!socket) {
        const int reason = socket.error().errno_value();
        if (reason == EMFILE || reason == ENFILE || reason == ENOMEM || reason == ENOBUFS) {
            warn("no connection can be taken: " + socket.error().to_string());
            pause_listening();
        }
        return;
    }
    const auto peer = sys::peer_credentials(*socket);
    const bool broker = peer && options_.brokers.contains(peer->uid);
    const bool reader = peer && options_.readers.contains(peer->uid);
    if (!broker && !reader) {
        ++shared_.counters.refused_peers;
        warn("refused a connection from user " + (peer ? std::to_string(peer->uid) : std::string("unknown")));
        return;
    }
    if (connections_.size() >= options_.max_connections) {
        warn("refused a connection: there are " + std::to_string(connections_.size()));
        return;
    }
    const auto adopted = adopt(std::move(*socket), broker ? PeerRole::Broker : PeerRole::Reader);
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
    connection.session.forget();
    connections_.erase(found);
}

void Server::remove_unclaimed_files() {
    const auto names = store_.names();
    if (!names) return warn("stored VMs cannot be listed: " + names.error().to_string());
    for (const auto& name : *names)
        if (!shared_.open_files.contains(name)) store_.remove_named(name);
}

void Server::warn(const std::string& line) {
    uint64_t suppressed = 0;
    if (!log_limit_.allow(suppressed)) return;
    if (suppressed > 0) log::warn("{} more lines were left out", suppressed);
    log::warn("{}", line);
}

}  // namespace alcove::attestor

// SPDX-License-Identifier: Apache-2.0
#include "daemon/descriptor_server.hpp"

#include <utility>

#include "api/descriptor_messages.hpp"
#include "support/system.hpp"

namespace alcove::daemon {

namespace descriptors = api::descriptors;

Result<std::unique_ptr<DescriptorServer>> DescriptorServer::create(EventLoop& loop, Fd listener,
                                                                   DescriptorTokens& tokens) {
    TRY(sys::set_non_blocking(listener, true));
    std::unique_ptr<DescriptorServer> server(new DescriptorServer(loop, std::move(listener), tokens));
    auto* raw = server.get();
    server->watch_ = TRY(loop.watch(server->listener_, EPOLLIN, [raw](uint32_t) { raw->accept(); }));
    return server;
}

DescriptorServer::~DescriptorServer() {
    loop_.unwatch(watch_);
    for (auto& [id, connection] : connections_)
        loop_.cancel(connection.timer);
}

void DescriptorServer::accept() {
    auto socket = sys::accept(listener_);
    if (!socket || connections_.size() >= kMaxConnections) return;
    const auto credentials = sys::peer_credentials(*socket);
    if (!credentials) return;
    const uint64_t id = next_++;
    Peer::Handlers handlers;
    handlers.open = [] {};
    handlers.message = [this, id](Peer::Message message) { return take(id, std::move(message)); };
    handlers.closed = [this, id](const Error&) { drop(id); };
    handlers.unnumbered = {descriptors::Offer::kType};
    auto peer = Peer::create(loop_, std::move(*socket), descriptors::kProtocol, descriptors::kVersions,
                             std::move(handlers));
    if (!peer) return;
    Connection& connection = connections_[id];
    connection.peer = std::move(*peer);
    connection.user = credentials->uid;
    connection.timer = loop_.after(kConnectionTime, [this, id] { drop(id); });
}

Result<void> DescriptorServer::take(uint64_t id, Peer::Message message) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return {};
    Connection& connection = found->second;
    const auto offer = TRY(api::decode<descriptors::Offer>(message.envelope));
    if (message.descriptors.size() != 1) {
        const Error error(ErrorCode::InvalidMessage, "an offer comes with one descriptor");
        connection.peer->send(api::encode_failed(offer.request, error));
        return {};
    }
    const auto token = tokens_.put(std::move(message.descriptors.front()), connection.user,
                                   std::chrono::steady_clock::now());
    if (!token) {
        connection.peer->send(api::encode_failed(offer.request, token.error()));
        return {};
    }
    descriptors::Token answer{};
    answer.request = offer.request;
    answer.valid_seconds = static_cast<uint32_t>(DescriptorTokens::kValidFor.count());
    answer.token = api::TextField<descriptors::kTokenDigits>::of(*token);
    connection.peer->send(api::encode(answer));
    return {};
}

void DescriptorServer::drop(uint64_t id) {
    auto node = connections_.extract(id);
    if (node.empty()) return;
    loop_.cancel(node.mapped().timer);
    Peer::retire(loop_, std::move(node.mapped().peer));
}

}  // namespace alcove::daemon

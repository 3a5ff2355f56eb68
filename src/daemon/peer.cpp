// SPDX-License-Identifier: Apache-2.0
#include "daemon/peer.hpp"

#include <algorithm>

namespace alcove::daemon {

Result<std::unique_ptr<Peer>> Peer::create(EventLoop& loop, Fd socket, api::Protocol protocol,
                                           api::VersionRange versions, Handlers handlers) {
    std::unique_ptr<Peer> peer(new Peer(loop, std::move(handlers)));
    auto* raw = peer.get();
    api::Connection::Callbacks callbacks;
    callbacks.on_open = [raw](uint16_t) {
        raw->loop_.cancel(std::exchange(raw->hello_timer_, 0));
        if (raw->handlers_.open) raw->handlers_.open();
    };
    callbacks.on_message = [raw](const api::Envelope& envelope, std::vector<Fd> descriptors) {
        return raw->take(envelope, std::move(descriptors));
    };
    callbacks.on_closed = [raw](const Error& error) { raw->end(error); };
    peer->connection_ = TRY(
        api::Connection::create(loop, Channel(std::move(socket)), protocol, versions, std::move(callbacks)));
    peer->hello_timer_ = loop.after(
        kHelloTimeout, [raw] { raw->give_up(Error(ErrorCode::Timeout, "the peer said no Hello in time")); });
    return peer;
}

void Peer::retire(EventLoop& loop, std::unique_ptr<Peer> peer) {
    if (peer == nullptr) return;
    peer->close();
    loop.post([kept = std::shared_ptr<Peer>(std::move(peer))] {});
}

void Peer::close() {
    if (connection_ != nullptr) connection_->close();
    loop_.cancel(std::exchange(hello_timer_, 0));
    for (auto& [id, pending] : pending_)
        loop_.cancel(pending.timer);
    pending_.clear();
}

void Peer::give_up(const Error& error) {
    connection_->close();
    end(error);
}

void Peer::end(const Error& error) {
    const auto pending = std::exchange(pending_, {});
    for (const auto& [id, request] : pending)
        loop_.cancel(request.timer);
    loop_.cancel(std::exchange(hello_timer_, 0));
    for (const auto& [id, request] : pending)
        request.answer(Failure{error});
    if (handlers_.closed) handlers_.closed(error);
}

void Peer::request(uint32_t id, Bytes message, std::vector<Fd> descriptors, std::chrono::milliseconds timeout,
                   Answer answer) {
    if (connection_->is_closed() || pending_.size() >= kMaxRequests) {
        const auto code = connection_->is_closed() ? ErrorCode::ConnectionLost : ErrorCode::Busy;
        loop_.post(
            [answer = std::move(answer), code] { answer(fail(code, "the peer cannot be asked now")); });
        return;
    }
    const auto timer =
        loop_.after(timeout, [this, id] { finish(id, fail(ErrorCode::Timeout, "no answer in time")); });
    pending_.emplace(id, Pending{.answer = std::move(answer), .timer = timer});
    connection_->send(std::move(message), std::move(descriptors));
}

void Peer::finish(uint32_t id, Result<Message> result) {
    auto node = pending_.extract(id);
    if (node.empty()) return;  // its deadline had passed
    loop_.cancel(node.mapped().timer);
    node.mapped().answer(std::move(result));
}

Result<void> Peer::take(const api::Envelope& envelope, std::vector<Fd> descriptors) {
    if (envelope.type == api::Failed::kType) {
        auto failed = TRY(api::decode_failed(envelope));
        finish(failed.request, Failure{std::move(failed.error)});
        return {};
    }
    const bool unnumbered =
        std::ranges::find(handlers_.unnumbered, envelope.type) != handlers_.unnumbered.end();
    const auto id = unnumbered ? Le32(0) : read_object<Le32>(envelope.body);
    if (!id) return fail(ErrorCode::InvalidMessage, "a message without a request id");
    Message message{.body = to_bytes(envelope.body), .envelope = {}, .descriptors = std::move(descriptors)};
    message.envelope = {.type = envelope.type, .body = message.body};
    if (*id == 0) return handlers_.message(std::move(message));
    finish(*id, std::move(message));
    return {};
}

}  // namespace alcove::daemon

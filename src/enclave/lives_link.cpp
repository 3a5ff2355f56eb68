// SPDX-License-Identifier: Apache-2.0
#include "enclave/lives_link.hpp"

#include <utility>

#include <sys/socket.h>

#include "api/lives_messages.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

namespace lives = api::lives;

Result<std::unique_ptr<LivesLink>> LivesLink::create(EventLoop& loop, Fd channel, Callbacks callbacks) {
    std::unique_ptr<LivesLink> link(new LivesLink(std::move(callbacks)));
    LivesLink* self = link.get();
    link->connection_ = TRY(api::Connection::create(
        loop, Channel(std::move(channel)), api::Protocol::Lives, lives::kVersions,
        {.on_open = nullptr,
         .on_message = [self](const api::Envelope& envelope,
                              std::vector<Fd> fds) { return self->on_message(envelope, fds); },
         .on_closed =
             [self](const Error& error) {
                 // Of its end the process tells.
                 if (error.code() != ErrorCode::ConnectionLost) self->callbacks_.on_protocol_broken(error);
             }}));
    return link;
}

Result<Fd> LivesLink::begin() {
    auto ends = TRY(sys::socket_pair(SOCK_SEQPACKET));
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(ends.second));
    connection_->send(api::encode(lives::BeginLife{}), std::move(descriptors));
    alive_ = true;
    return std::move(ends.first);
}

Result<void> LivesLink::on_message(const api::Envelope& envelope, const std::vector<Fd>& descriptors) {
    if (!descriptors.empty() || !alive_) return fail(ErrorCode::InvalidMessage, "a message out of turn");
    if (envelope.type == lives::LifeBegun::kType) {
        const auto message = TRY(api::decode<lives::LifeBegun>(envelope));
        callbacks_.on_begun(message.vmm_pid);
        return {};
    }
    const auto message = TRY(api::decode<lives::LifeEnded>(envelope));
    alive_ = false;
    callbacks_.on_ended(
        {.by_signal = message.by_signal != 0, .value = static_cast<int>(message.value & 0xff)});
    return {};
}

}  // namespace alcove::enclave

// SPDX-License-Identifier: Apache-2.0
#include "enclave/daemon_door.hpp"

#include "api/shim_messages.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

Result<std::unique_ptr<DaemonDoor>> DaemonDoor::create(EventLoop& loop, Fd listener, uid_t daemon_uid,
                                                       Callbacks callbacks) {
    TRY(sys::set_non_blocking(listener, true));
    std::unique_ptr<DaemonDoor> door(
        new DaemonDoor(loop, std::move(listener), daemon_uid, std::move(callbacks)));
    DaemonDoor* self = door.get();
    self->watch_ = TRY(loop.watch(self->listener_, EPOLLIN, [self](uint32_t) { self->accept_all(); }));
    return door;
}

DaemonDoor::~DaemonDoor() {
    loop_.unwatch(watch_);
}

void DaemonDoor::accept_all() {
    while (true) {
        auto socket = sys::accept(listener_);
        if (!socket) return;  // none left; other errors come back with the next event
        const auto served = serve(std::move(*socket));
        if (!served) log::warn("a connection was turned away: {}", served.error().to_string());
    }
}

Result<void> DaemonDoor::serve(Fd socket) {
    const auto peer = TRY(sys::peer_credentials(socket));
    if (peer.uid != daemon_uid_)
        return fail(ErrorCode::PermissionDenied, "user " + std::to_string(peer.uid) + " is not the daemon's");
    auto connection = TRY(api::Connection::create(
        loop_, Channel(std::move(socket)), api::Protocol::Shim, api::shim::kVersions,
        {.on_open = nullptr,
         .on_message = [this](
                           const api::Envelope& envelope,
                           std::vector<Fd> fds) { return callbacks_.on_message(envelope, std::move(fds)); },
         .on_closed =
             [this](const Error& error) {
                 log::info("the daemon's connection ended: {}", error.to_string());
                 connection_.reset();
                 callbacks_.on_replaced();
             }}));
    if (connection_ != nullptr) callbacks_.on_replaced();
    connection_ = std::move(connection);
    return {};
}

void DaemonDoor::send(Bytes message, std::vector<Fd> descriptors) {
    if (connection_ != nullptr && connection_->is_open())
        connection_->send(std::move(message), std::move(descriptors));
}

}  // namespace alcove::enclave

// SPDX-License-Identifier: Apache-2.0
#include "key_service/server.hpp"

#include <cerrno>
#include <thread>
#include <utility>

#include "key_service/message_stream.hpp"
#include "support/system.hpp"

namespace alcove::key_service {

namespace {

// Errors of accept(2) that concern one connection, or that pass.
bool is_passing(int error) {
    return error == ECONNABORTED || error == EINTR || error == EMFILE || error == ENFILE || error == ENOMEM ||
           error == ENOBUFS;
}

}  // namespace

Server::~Server() {
    std::unique_lock lock(mutex_);
    place_freed_.wait(lock, [this] { return clients_ == 0; });
}

Result<void> Server::run(const Fd& listener) {
    for (;;) {
        auto connection = sys::accept(listener);
        if (connection) {
            take(std::move(*connection));
        } else if (!is_passing(connection.error().errno_value())) {
            return Failure{std::move(connection).error()};
        } else {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    }
}

bool Server::reserve_place() {
    const std::lock_guard lock(mutex_);
    if (clients_ == limits_.clients) return false;
    ++clients_;
    return true;
}

void Server::free_place() {
    const std::lock_guard lock(mutex_);
    --clients_;
    // Under the lock: the destructor may go on, and the condition be gone, as soon as it is free.
    place_freed_.notify_all();
}

void Server::take(Fd connection) {
    if (!reserve_place()) {
        auto stream = MessageStream::create(std::move(connection));
        // It fits into the socket's buffer, or the client does not get to know.
        if (stream)
            static_cast<void>(stream->send(encode(Reply(refusal(RefusalReason::Busy, "too many clients"))),
                                           std::chrono::milliseconds(0)));
        return;
    }
    std::thread([this, connection = std::move(connection)]() mutable {
        serve(std::move(connection));
        free_place();
    }).detach();
}

void Server::serve(Fd connection) const {
    auto stream = MessageStream::create(std::move(connection));
    if (!stream) return;
    for (;;) {
        const auto message = stream->receive(limits_.patience);
        if (!message || !message->has_value()) return;
        const Reply reply = service_.answer(**message);
        if (!stream->send(encode(reply), limits_.patience)) return;
    }
}

}  // namespace alcove::key_service

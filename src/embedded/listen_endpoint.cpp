// SPDX-License-Identifier: Apache-2.0
#include "embedded/listen_endpoint.hpp"

#include <algorithm>
#include <utility>

#include "support/log.hpp"

namespace alcove::embedded {

uint64_t Arrivals::put(Fd connection, StreamId listener, Clock::time_point now) {
    const uint64_t number = next_++;
    waiting_.emplace(
        number, Arrival{.connection = std::move(connection), .listener = listener, .until = now + kPatience});
    return number;
}

Result<Fd> Arrivals::take(uint64_t number) {
    auto node = waiting_.extract(number);
    if (node.empty())
        return fail(ErrorCode::NotFound, "connection " + std::to_string(number) + " does not wait any more");
    return std::move(node.mapped().connection);
}

void Arrivals::expire(Clock::time_point now) {
    std::erase_if(waiting_, [now](const auto& entry) { return entry.second.until <= now; });
}

void Arrivals::drop(StreamId listener) {
    std::erase_if(waiting_, [listener](const auto& entry) { return entry.second.listener == listener; });
}

Result<std::unique_ptr<ListenEndpoint>> ListenEndpoint::create(EventLoop& loop, Mux& mux, StreamId id,
                                                               Arrivals& arrivals, const std::string& path) {
    auto socket = TRY(ListeningSocket::create(path));
    std::unique_ptr<ListenEndpoint> endpoint(new ListenEndpoint(loop, mux, id, arrivals, std::move(socket)));
    TRY(endpoint->watch());
    endpoint->look();
    return endpoint;
}

Result<void> ListenEndpoint::watch() {
    const auto watch = TRY(loop_.watch(socket_->fd(), EPOLLIN, [this](uint32_t) { accept(); }));
    watch_ = watch;
    return {};
}

void ListenEndpoint::accept() {
    // With no room, or no descriptor, the next ones stay in the socket's queue until look().
    if (arrivals_.is_full()) return loop_.unwatch(std::exchange(watch_, 0));
    auto connection = socket_->accept();
    if (!connection) {
        log::warn("agent: {}", connection.error().to_string());
        return loop_.unwatch(std::exchange(watch_, 0));
    }
    if (!connection->has_value()) return;
    text_ += std::to_string(arrivals_.put(std::move(**connection), id_, EventLoop::Clock::now())) + "\n";
    mux_.sendable(id_);
}

void ListenEndpoint::look() {
    timer_ = 0;
    arrivals_.expire(EventLoop::Clock::now());
    if (!socket_->is_in_place()) return stop();
    if (watch_ == 0 && !arrivals_.is_full()) {
        if (const auto watching = watch(); !watching) log::warn("agent: {}", watching.error().to_string());
    }
    timer_ = loop_.after(kLook, [this] { look(); });
}

void ListenEndpoint::stop() {
    if (!socket_) return;
    loop_.unwatch(std::exchange(watch_, 0));
    loop_.cancel(std::exchange(timer_, 0));
    socket_.reset();
    arrivals_.drop(id_);
    mux_.sendable(id_);
}

StreamEndpoint::Pulled ListenEndpoint::pull(MutableByteView into) {
    if (text_.empty()) return {.state = socket_ ? Pull::Later : Pull::End};
    const size_t count = std::min(into.size(), text_.size());
    std::copy_n(text_.begin(), count, into.begin());
    text_.erase(0, count);
    return {.state = Pull::Data, .bytes = count};
}

}  // namespace alcove::embedded

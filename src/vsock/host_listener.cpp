// SPDX-License-Identifier: Apache-2.0
#include "vsock/host_listener.hpp"

#include <array>
#include <cerrno>
#include <charconv>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::vsock {

namespace {
constexpr std::chrono::milliseconds kRetryDelay{100};
// Accepted in one go before others get their turn.
constexpr int kAcceptsPerRound = 64;
}  // namespace

std::optional<Port> parse_connect_line(std::string_view line) {
    constexpr std::string_view kWord = "CONNECT ";
    if (!line.starts_with(kWord)) return std::nullopt;
    line.remove_prefix(kWord.size());
    uint32_t port = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), port);
    if (error != std::errc() || end != line.data() + line.size() || Port{port} == Port::Any)
        return std::nullopt;
    return Port{port};
}

Result<std::unique_ptr<HostListener>> HostListener::create(EventLoop& loop, HostBackend& backend,
                                                           Fd listening) {
    TRY(sys::set_non_blocking(listening, true));
    std::unique_ptr<HostListener> listener(new HostListener(loop, backend, std::move(listening)));
    TRY(listener->listen());
    return listener;
}

HostListener::~HostListener() {
    loop_.cancel(retry_);
    loop_.unwatch(watch_);
    while (!clients_.empty())
        take_out(clients_.begin()->first);
}

Result<void> HostListener::listen() {
    const auto watch = TRY(loop_.watch(listening_, EPOLLIN, [this](uint32_t) { on_connectable(); }));
    watch_ = watch;
    return {};
}

void HostListener::on_connectable() {
    for (int i = 0; i < kAcceptsPerRound; ++i) {
        auto socket = sys::accept(listening_);
        if (socket) {
            ++counters_.clients;
            if (!add_client(std::move(socket).value())) ++counters_.turned_away;
            continue;
        }
        const int reason = socket.error().errno_value();
        if (reason == EAGAIN || reason == ECONNABORTED) return;
        // Out of descriptors: the client stays in line, and asking at once again would only spin.
        log::warn("vsock: cannot accept a host program: {}", socket.error().to_string());
        loop_.unwatch(watch_);
        watch_ = 0;
        retry_ = loop_.after(kRetryDelay, [this] {
            retry_ = 0;
            const auto listening = listen();
            if (!listening) log::error("vsock: {}", listening.error().to_string());
        });
        return;
    }
}

Result<void> HostListener::add_client(Fd socket) {
    if (clients_.size() >= kMaxWaiting) return fail(ErrorCode::LimitExceeded, "too many clients wait");
    TRY(sys::set_non_blocking(socket, true));
    const ClientId id = next_client_++;
    Client client{.socket = std::move(socket)};
    // Edge-triggered, because what has arrived is only looked at until the line is whole.
    const auto watch = TRY(loop_.watch(client.socket, EPOLLIN | EPOLLRDHUP | EPOLLET,
                                       [this, id](uint32_t) { on_readable(id); }));
    client.watch = watch;
    client.timer = loop_.after(kLineTimeout, [this, id] {
        clients_.at(id).timer = 0;
        turn_away(id);
    });
    clients_.emplace(id, std::move(client));
    return {};
}

void HostListener::on_readable(ClientId id) {
    const Fd& socket = clients_.at(id).socket;
    std::array<char, kMaxLine> text;
    const ssize_t count = ::recv(socket.get(), text.data(), text.size(), MSG_PEEK);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return turn_away(id);
    const std::string_view seen(text.data(), static_cast<size_t>(count));
    const size_t end = seen.find('\n');
    if (end == std::string_view::npos) {
        if (seen.size() == kMaxLine) turn_away(id);
        return;
    }
    const auto port = parse_connect_line(seen.substr(0, end));
    // Takes exactly the line; the bytes are there, because they were seen.
    const bool is_taken = ::recv(socket.get(), text.data(), end + 1, 0) == static_cast<ssize_t>(end + 1);
    if (!port || !is_taken) return turn_away(id);
    if (!backend_.connect(take_out(id), *port)) ++counters_.turned_away;
}

Fd HostListener::take_out(ClientId id) {
    auto node = clients_.extract(id);
    Client& client = node.mapped();
    loop_.unwatch(client.watch);
    loop_.cancel(client.timer);
    return std::move(client.socket);
}

void HostListener::turn_away(ClientId id) {
    ++counters_.turned_away;
    take_out(id);
}

}  // namespace alcove::vsock

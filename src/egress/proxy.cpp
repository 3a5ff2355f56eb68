// SPDX-License-Identifier: Apache-2.0
#include "egress/proxy.hpp"

#include <utility>

#include "egress/dial_messages.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::egress {

Result<std::unique_ptr<Proxy>> Proxy::create(EventLoop& loop, Fd listener, Channel dialer, ProxyLimits limits,
                                             std::function<void()> on_dialer_gone) {
    TRY(sys::set_non_blocking(listener, true));
    TRY(sys::set_non_blocking(dialer.fd(), true));
    std::unique_ptr<Proxy> proxy(
        new Proxy(loop, std::move(listener), std::move(dialer), limits, std::move(on_dialer_gone)));
    Proxy* const self = proxy.get();
    self->listener_watch_ = TRY(loop.watch(self->listener_, EPOLLIN, [self](uint32_t) { self->accept(); }));
    self->dialer_watch_ =
        TRY(loop.watch(self->dialer_.fd(), EPOLLIN, [self](uint32_t) { self->hear_dialer(); }));
    return proxy;
}

Proxy::~Proxy() {
    loop_.unwatch(listener_watch_);
    loop_.unwatch(dialer_watch_);
}

void Proxy::accept() {
    if (tunnels_.size() >= limits_.tunnels) {
        loop_.change(listener_watch_, 0).value();  // until one is over
        return;
    }
    auto client = sys::accept(listener_);
    if (!client || !sys::set_non_blocking(*client, true)) return;
    const uint32_t id = next_++;
    auto tunnel = Tunnel::create(loop_, std::move(*client), limits_.tunnel,
                                 {.dial = [this, id](const ConnectTarget& target) { dial(id, target); },
                                  .over =
                                      [this, id, alive = std::weak_ptr(alive_)] {
                                          if (!alive.expired()) over(id);
                                      }});
    if (tunnel) tunnels_.emplace(id, std::move(*tunnel));
}

void Proxy::over(uint32_t tunnel) {
    tunnels_.erase(tunnel);
    loop_.change(listener_watch_, EPOLLIN).value();  // of a live watch: epoll has no reason to refuse
}

void Proxy::dial(uint32_t tunnel, const ConnectTarget& target) {
    const Dial question{.request = tunnel,
                        .port = target.port,
                        .reserved = {},
                        .host = api::TextField<kMaxHost>::of(target.host)};
    if (dialer_.send(api::encode(question))) return;
    // A dialer that does not come after. It is told from the loop, as an answer would be.
    loop_.post([this, tunnel, alive = std::weak_ptr(alive_)] {
        if (alive.expired()) return;
        const auto found = tunnels_.find(tunnel);
        if (found != tunnels_.end()) found->second->dialed(Status::Unavailable, {});
    });
}

void Proxy::hear_dialer() {
    const auto taken = take_answer();
    if (taken || taken.error().code() == ErrorCode::Busy) return;
    if (taken.error().code() != ErrorCode::ConnectionLost)
        log::error("the dialer: {}", taken.error().to_string());
    loop_.unwatch(std::exchange(dialer_watch_, 0));
    std::exchange(on_dialer_gone_, [] {})();
}

Result<void> Proxy::take_answer() {
    auto message = TRY(dialer_.receive());
    const auto envelope = TRY(api::open_envelope(message.data));
    const auto answer = TRY(api::decode<Dialed>(envelope));
    if (!is_status(answer.status) || message.descriptors.size() > 1)
        return fail(ErrorCode::InvalidMessage, "an answer that is none");
    // Late ones are for nobody.
    const auto found = tunnels_.find(answer.request);
    if (found == tunnels_.end()) return {};
    Fd target = message.descriptors.empty() ? Fd() : std::move(message.descriptors.front());
    found->second->dialed(static_cast<Status>(uint16_t{answer.status}), std::move(target));
    return {};
}

}  // namespace alcove::egress

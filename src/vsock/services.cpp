// SPDX-License-Identifier: Apache-2.0
#include "vsock/services.hpp"

#include <array>
#include <charconv>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "support/system.hpp"

namespace alcove::vsock {

namespace {

std::optional<ServiceReport::Kind> service_of(Port port) {
    if (port == kHeartbeatPort) return ServiceReport::Kind::Heartbeat;
    if (port == kStatusPort) return ServiceReport::Kind::Status;
    return std::nullopt;
}

}  // namespace

std::optional<std::pair<ServiceReport::End, uint32_t>> parse_status_line(std::string_view line) {
    using End = ServiceReport::End;
    const auto number_behind = [&](std::string_view word, uint32_t least,
                                   uint32_t most) -> std::optional<uint32_t> {
        if (!line.starts_with(word)) return std::nullopt;
        uint32_t value = 0;
        const char* const last = line.data() + line.size();
        const auto [end, error] = std::from_chars(line.data() + word.size(), last, value);
        if (error != std::errc() || end != last || value < least || value > most) return std::nullopt;
        return value;
    };
    if (const auto code = number_behind("exit ", 0, 255)) return std::pair(End::Exit, *code);
    if (const auto signal = number_behind("signal ", 1, 127)) return std::pair(End::Signal, *signal);
    return std::nullopt;
}

Services::Services(EventLoop& loop, PortOpener& programs, Listener report)
    : loop_(loop), programs_(programs), report_(std::move(report)) {}

Services::~Services() {
    for (const auto& [id, client] : clients_) {
        loop_.unwatch(client.watch);
        loop_.cancel(client.timer);
    }
}

void Services::open(Port port, Done done) {
    const auto kind = service_of(port);
    if (!kind) return programs_.open(port, std::move(done));
    programs_.open(
        port, [this, alive = std::weak_ptr(alive_), kind = *kind, done = std::move(done)](Result<Fd> socket) {
            if (alive.expired()) return;
            if (socket) {
                report_({.kind = kind, .answerer = ServiceReport::Answerer::HostProgram});
            } else if (socket.error().code() == ErrorCode::NotFound) {
                return done(start(kind));
            }
            done(std::move(socket));
        });
}

Result<Fd> Services::start(ServiceReport::Kind kind) {
    if (clients_.size() >= kMaxClients)
        return fail(ErrorCode::LimitExceeded, "too many connections to a built-in service");
    auto pair = TRY(sys::socket_pair(SOCK_STREAM));
    TRY(sys::set_non_blocking(pair.first, true));
    const ClientId id = next_client_++;
    Client client{.kind = kind, .socket = std::move(pair.first), .line = {}};
    const auto watch = TRY(loop_.watch(client.socket, EPOLLIN, [this, id](uint32_t) { on_readable(id); }));
    client.watch = watch;
    client.timer = loop_.after(kTimeout, [this, id] {
        Client& late = clients_.at(id);
        late.timer = 0;
        finish(id, {.kind = late.kind, .answerer = ServiceReport::Answerer::BuiltIn});
    });
    clients_.emplace(id, std::move(client));
    return std::move(pair.second);
}

void Services::on_readable(ClientId id) {
    Client& client = clients_.at(id);
    ServiceReport report{.kind = client.kind, .answerer = ServiceReport::Answerer::BuiltIn};
    std::array<uint8_t, kMaxLine> bytes;
    const auto transfer = sys::read_some(client.socket, bytes);
    if (transfer && transfer->would_block) return;
    if (!transfer || transfer->bytes == 0) return finish(id, report);

    if (client.kind == ServiceReport::Kind::Heartbeat) {
        report.is_valid = transfer->bytes == 1 && bytes[0] == kHeartbeatByte;
        // A byte on an empty socket always fits; a guest that is gone does not need it.
        if (report.is_valid) (void)sys::write_some(client.socket, ByteView(bytes).first(1));
        return finish(id, report);
    }
    client.line += as_text(ByteView(bytes).first(transfer->bytes));
    const size_t end = client.line.find('\n');
    if (end == std::string::npos && client.line.size() < kMaxLine) return;
    const auto status = parse_status_line(std::string_view(client.line).substr(0, end));
    if (status && end != std::string::npos) {
        report.is_valid = true;
        report.end = status->first;
        report.number = status->second;
    }
    finish(id, report);
}

void Services::finish(ClientId id, const ServiceReport& report) {
    {
        auto node = clients_.extract(id);
        loop_.unwatch(node.mapped().watch);
        loop_.cancel(node.mapped().timer);
    }
    report_(report);
}

}  // namespace alcove::vsock

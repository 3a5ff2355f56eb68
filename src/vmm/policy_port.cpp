// SPDX-License-Identifier: Apache-2.0
#include "vmm/policy_port.hpp"

#include <array>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "api/ne_messages.hpp"
#include "support/error_catalog.hpp"
#include "support/system.hpp"

namespace alcove::vmm {

namespace {

using api::ne::Policy;

std::string answer_line(const Result<uint32_t>& now) {
    if (now) return *now == Policy::kShared ? "ok shared\n" : "ok dedicated\n";
    return "error " + std::string(error_entry(now.error().code()).name) + " " + now.error().message() + "\n";
}

}  // namespace

std::optional<uint32_t> parse_policy_line(std::string_view line) {
    if (line == "policy") return Policy::kAsk;
    if (line == "policy dedicated") return Policy::kDedicated;
    if (line == "policy shared") return Policy::kShared;
    return std::nullopt;
}

PolicyPort::~PolicyPort() {
    for (const auto& [id, client] : clients_) {
        loop_.unwatch(client.watch);
        loop_.cancel(client.timer);
    }
}

void PolicyPort::open(vsock::Port port, Done done) {
    if (port != kPolicyPort) return programs_.open(port, std::move(done));
    programs_.open(port, [this, alive = std::weak_ptr(alive_), done = std::move(done)](Result<Fd> socket) {
        if (alive.expired()) return;
        if (!socket && socket.error().code() == ErrorCode::NotFound) return done(start());
        done(std::move(socket));
    });
}

Result<Fd> PolicyPort::start() {
    if (clients_.size() >= kMaxClients)
        return fail(ErrorCode::LimitExceeded, "too many connections to the policy port");
    auto pair = TRY(sys::socket_pair(SOCK_STREAM));
    TRY(sys::set_non_blocking(pair.first, true));
    const ClientId id = next_client_++;
    Client client{.socket = std::move(pair.first), .line = {}};
    const auto watch = TRY(loop_.watch(client.socket, EPOLLIN, [this, id](uint32_t) { on_readable(id); }));
    client.watch = watch;
    client.timer = loop_.after(kTimeout, [this, id] {
        const auto late = clients_.find(id);
        late->second.timer = 0;
        answer(id, "");
    });
    clients_.emplace(id, std::move(client));
    return std::move(pair.second);
}

void PolicyPort::on_readable(ClientId id) {
    Client& client = clients_.at(id);
    std::array<uint8_t, kMaxLine> bytes;
    const auto transfer = sys::read_some(client.socket, bytes);
    if (transfer && transfer->would_block) return;
    if (!transfer || transfer->bytes == 0) return answer(id, "");
    client.line += as_text(ByteView(bytes).first(transfer->bytes));
    const size_t end = client.line.find('\n');
    if (end == std::string::npos && client.line.size() < kMaxLine) return;
    const auto wanted = parse_policy_line(std::string_view(client.line).substr(0, end));
    if (!wanted || end == std::string::npos)
        return answer(id, "error invalid-argument the line is no question\n");
    loop_.unwatch(std::exchange(client.watch, 0));
    ask_(*wanted, [this, alive = std::weak_ptr(alive_), id](const Result<uint32_t>& now) {
        if (!alive.expired()) answer(id, answer_line(now));
    });
}

// A line on an empty socket always fits; a guest that is gone does not need it.
void PolicyPort::answer(ClientId id, const std::string& line) {
    const auto node = clients_.extract(id);
    if (node.empty()) return;  // it took too long
    loop_.unwatch(node.mapped().watch);
    loop_.cancel(node.mapped().timer);
    if (!line.empty()) (void)sys::write_some(node.mapped().socket, as_byte_view(line));
}

}  // namespace alcove::vmm

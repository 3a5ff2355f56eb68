// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/heartbeat.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>

#include "nitro_cli/failure_code.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kPortPause = 200;  // ms
constexpr size_t kMaxConnections = 16;

bool is_over(short events) {
    return (events & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

Failure nobody_waits() {
    return fail(FailureCode::EnclaveBoot, "whoever asked for the enclave has gone; it is ended again");
}

// A connection that is the enclave's, or nothing.
Result<std::optional<Fd>> accept_enclave(HeartbeatPort& port, const HeartbeatWatch& watch) {
    auto connection = sys::accept(watch.listener);
    if (!connection) return std::optional<Fd>();  // gone again
    const auto cid = TRY(port.peer_cid(*connection));
    if (cid != watch.cid) {
        log::warn("CID {} connected to the port of heartbeats, which CID {} is awaited at", cid, watch.cid);
        return std::optional<Fd>();
    }
    return std::optional<Fd>(std::move(*connection));
}

// Whether it was the heartbeat; false for a connection that ended without a word.
Result<bool> take_heartbeat(const Fd& connection) {
    std::array<uint8_t, 1> byte{};
    const auto got = sys::read_some(connection, byte);
    if (!got || got->bytes == 0) return false;
    if (byte[0] != kHeartbeat)
        return fail(FailureCode::EnclaveBoot, "the enclave said something else than the heartbeat");
    TRY(coded(FailureCode::EnclaveBoot, sys::write_all(connection, byte).context("answering the heartbeat")));
    return true;
}

Failure too_late(milliseconds patience) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience).count();
    return fail(FailureCode::EnclaveBoot,
                "the enclave runs, but sent no heartbeat within " + std::to_string(seconds) + " s");
}

}  // namespace

Result<Fd> VsockHeartbeatPort::listen() {
    Fd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return fail_errno(errno, "making a vsock socket");
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = kParentCid;
    address.svm_port = kHeartbeatPort;
    const std::string what = "listening at CID 3, port 9000";
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(errno, what, errno == EADDRINUSE ? ErrorCode::Busy : ErrorCode::SystemCall);
    if (::listen(socket.get(), kMaxConnections) != 0) return fail_errno(errno, what);
    return socket;
}

Result<uint64_t> VsockHeartbeatPort::peer_cid(const Fd& connection) {
    sockaddr_vm address{};
    socklen_t size = sizeof address;
    if (::getpeername(connection.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return fail_errno(errno, "asking who connected");
    return address.svm_cid;
}

Result<Fd> listen_for_heartbeat(HeartbeatPort& port, const Fd& caller, milliseconds patience) {
    const auto deadline = Clock::now() + patience;
    while (true) {
        auto listener = port.listen();
        if (listener) return listener;
        const bool busy = listener.error().code() == ErrorCode::Busy;
        if (!busy) return coded(FailureCode::EnclaveBoot, std::move(listener));
        if (Clock::now() >= deadline)
            return fail(FailureCode::EnclaveBoot,
                        "another program listens at vsock port 9000, where the heartbeat arrives");
        pollfd watched{caller.get(), 0, 0};
        if (::poll(&watched, 1, kPortPause) > 0) return nobody_waits();
    }
}

Result<void> await_heartbeat(HeartbeatPort& port, const HeartbeatWatch& watch) {
    const auto deadline = Clock::now() + watch.patience;
    std::vector<Fd> connections;
    while (true) {
        // Whoever waits behind too many silent connections waits on.
        const int listener = connections.size() < kMaxConnections ? watch.listener.get() : -1;
        std::vector<pollfd> polled = {
            {watch.enclave.get(), 0, 0}, {watch.caller.get(), 0, 0}, {listener, POLLIN, 0}};
        for (const auto& connection : connections)
            polled.push_back({connection.get(), POLLIN, 0});
        const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) return too_late(watch.patience);
        const int ready =
            ::poll(polled.data(), polled.size(), static_cast<int>(std::min<int64_t>(left, 1 << 30)));
        if (ready < 0 && errno != EINTR) return fail_errno(errno, "waiting for the heartbeat");
        if (ready <= 0) continue;
        // A heartbeat that is there counts, even when the enclave ended right behind it.
        for (size_t i = connections.size(); i-- > 0;) {
            if (polled[3 + i].revents == 0) continue;
            const bool beat = TRY(take_heartbeat(connections[i]));
            if (beat) return {};
            connections.erase(connections.begin() + static_cast<long>(i));
        }
        if (polled[2].revents != 0) {
            auto connection = TRY(coded(FailureCode::EnclaveBoot, accept_enclave(port, watch)));
            if (connection) {
                connections.push_back(std::move(*connection));
                continue;  // what it says is there already, or never comes
            }
        }
        if (is_over(polled[0].revents))
            return fail(FailureCode::EnclaveBoot, "the enclave ended before its heartbeat");
        if (is_over(polled[1].revents)) return nobody_waits();
    }
}

}  // namespace alcove::nitro_cli

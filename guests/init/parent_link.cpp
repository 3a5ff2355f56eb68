// SPDX-License-Identifier: Apache-2.0
#include "init/parent_link.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>

#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "support/fd.hpp"

namespace alcove::init {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr uint32_t kParentCid = 3;
constexpr uint32_t kHeartbeatPort = 9000;
constexpr uint32_t kEndReportPort = 9001;
constexpr uint8_t kHeartbeat = 0xb7;

constexpr milliseconds kHeartbeatLimit = 10s;
constexpr milliseconds kEndReportLimit = 1s;
// The first tries follow quickly, because the wait is part of the boot; later ones leave the processor alone.
constexpr milliseconds kFirstPause = 1ms;
constexpr milliseconds kLongestPause = 100ms;

Result<void> limit_waiting(const Fd& socket, int level, int option, milliseconds limit) {
    const timeval time{.tv_sec = limit.count() / 1000, .tv_usec = (limit.count() % 1000) * 1000};
    if (setsockopt(socket.get(), level, option, &time, sizeof time) != 0)
        return fail_errno(errno, "setting a socket's time limit");
    return {};
}

// Each of connecting, sending and receiving takes `limit` at most.
Result<Fd> connect_to_parent(uint32_t port, milliseconds limit) {
    Fd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return fail_errno(errno, "making a vsock socket");
    TRY(limit_waiting(socket, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, limit));
    TRY(limit_waiting(socket, SOL_SOCKET, SO_SNDTIMEO, limit));
    TRY(limit_waiting(socket, SOL_SOCKET, SO_RCVTIMEO, limit));
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = kParentCid;
    address.svm_port = port;
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(errno, "connecting to CID 3 port " + std::to_string(port));
    return socket;
}

Result<void> exchange_heartbeat(milliseconds limit) {
    const Fd socket = TRY(connect_to_parent(kHeartbeatPort, limit));
    if (send(socket.get(), &kHeartbeat, 1, MSG_NOSIGNAL) != 1) return fail_errno(errno, "sending");
    uint8_t answer = 0;
    const ssize_t received = recv(socket.get(), &answer, 1, 0);
    if (received < 0) return fail_errno(errno, "waiting for the answer");
    if (received == 0) return fail(ErrorCode::ConnectionLost, "the parent closed without an answer");
    if (answer != kHeartbeat) return fail(ErrorCode::InvalidMessage, "the parent answered another byte");
    return {};
}

}  // namespace

Result<void> send_heartbeat() {
    const auto deadline = steady_clock::now() + kHeartbeatLimit;
    milliseconds pause = kFirstPause;
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
        auto exchanged = exchange_heartbeat(std::max(left, kFirstPause));
        if (exchanged) return exchanged;
        if (steady_clock::now() + pause >= deadline) return std::move(exchanged).context("heartbeat");
        std::this_thread::sleep_for(pause);
        pause = std::min(2 * pause, kLongestPause);
    }
}

void report_end(int wait_status) {
    const auto socket = connect_to_parent(kEndReportPort, kEndReportLimit);
    if (!socket) return;
    const std::string line = end_report(wait_status);
    if (send(socket->get(), line.data(), line.size(), MSG_NOSIGNAL) < 0) return;
    shutdown(socket->get(), SHUT_WR);
    char ignored = 0;
    [[maybe_unused]] const ssize_t end = recv(socket->get(), &ignored, 1, 0);
}

}  // namespace alcove::init

// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/vsock_console.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <string>

#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "nitro_cli/failure_code.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kConsolePorts = 10000;
constexpr time_t kConnectPatience = 20;  // s

// How long poll() is to wait: -1 without an end.
int wait_for(std::optional<Clock::time_point> deadline) {
    if (!deadline) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

}  // namespace

Result<Fd> connect_console(uint64_t cid) {
    if (cid > std::numeric_limits<uint32_t>::max() - kConsolePorts)
        return fail(FailureCode::IntegerParsing,
                    "CID " + std::to_string(cid) + " is too large for a console");
    Fd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return coded<Fd>(FailureCode::Socket, fail_errno(errno, "making a vsock socket"));
    const timeval time{.tv_sec = kConnectPatience, .tv_usec = 0};
    if (::setsockopt(socket.get(), AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &time, sizeof time) != 0)
        return coded<Fd>(FailureCode::SocketConnectTimeout, fail_errno(errno, "setting the time limit"));
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = VMADDR_CID_HYPERVISOR;
    address.svm_port = static_cast<uint32_t>(cid) + kConsolePorts;
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return coded<Fd>(FailureCode::ConsoleConnection,
                         fail_errno(errno, "connecting to CID 0, port " + std::to_string(address.svm_port)));
    return socket;
}

Result<void> read_console(const Fd& console, std::optional<std::chrono::seconds> limit,
                          const std::function<void(std::string_view)>& take) {
    std::optional<Clock::time_point> deadline;
    if (limit) deadline = Clock::now() + *limit;
    std::array<uint8_t, 4096> piece{};
    while (true) {
        pollfd polled{console.get(), POLLIN, 0};
        const int ready = ::poll(&polled, 1, wait_for(deadline));
        if (ready < 0 && errno != EINTR)
            return coded<void>(FailureCode::ConsoleRead, fail_errno(errno, "waiting for the console"));
        if (ready < 0) continue;
        if (ready == 0) return {};
        const auto got = sys::read_some(console, piece);
        // An enclave that ends may reset its console.
        if (!got && got.error().errno_value() == ECONNRESET) return {};
        if (!got) return fail(FailureCode::ConsoleRead, got.error().to_string());
        if (got->bytes == 0) return {};
        take(as_text(ByteView(piece).first(got->bytes)));
        if (deadline && Clock::now() >= *deadline) return {};
    }
}

}  // namespace alcove::nitro_cli

// SPDX-License-Identifier: Apache-2.0
//
// stream_rate WHERE PORT to-guest|from-guest MIB [STREAMS [MESSAGE]]: MiB a second between this program and
// the probe inside a guest (guests/probe), in messages of 64 KiB or MESSAGE bytes, which divide a MiB. WHERE
// is the path of an enclave's connect socket, or `cid:N` for a guest behind the kernel's own vsock: one of
// vhost's, or of the fabric that this program's own machine is in. Each stream carries MIB; all are open
// before the first byte moves, and all have ended before the clock stops.
//
// stream_rate WHERE PORT round-trip COUNT: microseconds for 64 bytes to the probe and back, on average.
// stream_rate WHERE PORT once COUNT: connects that often, without patience, and lets go of all when all are
// there. Says why it could not.
// stream_rate WHERE PORT command LINE: one of the probe's commands; what it answers, to the end.
//
// Towards the guest the clock stops when the probe says that it has read everything, not when the last write
// returns: buffers on the way count for nothing.
#include <barrier>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>
// Behind sys/socket.h, which it needs.
#include <linux/vm_sockets.h>

#include "support/system.hpp"

namespace {

using namespace alcove;
using Clock = std::chrono::steady_clock;

constexpr size_t kMessage = 64 * 1024;
constexpr size_t kSmallMessage = 64;
constexpr size_t kLongestLine = 256;
constexpr auto kPatience = std::chrono::seconds(120);
constexpr auto kPause = std::chrono::milliseconds(100);

enum class Direction { ToGuest, FromGuest };

struct Order {
    std::string where;
    uint32_t port;
    Direction direction;
    uint64_t bytes;
    uint64_t message = kMessage;
};

// One byte at a time: what stands behind the line belongs to the stream.
Result<std::string> read_line(const Fd& socket) {
    std::string line;
    Bytes byte(1);
    while (line.size() < kLongestLine) {
        const auto transfer = TRY(sys::read_some(socket, byte));
        if (transfer.bytes == 0) return fail(ErrorCode::ConnectionLost, "closed after '" + line + "'");
        if (byte[0] == '\n') return line;
        line.push_back(static_cast<char>(byte[0]));
    }
    return fail(ErrorCode::LimitExceeded, "a line is too long");
}

Result<Fd> connect_kernel_vsock(uint32_t cid, uint32_t port) {
    Fd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return fail_errno(errno, "making a vsock socket");
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = cid;
    address.svm_port = port;
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
        return fail_errno(errno, "connecting to CID " + std::to_string(cid));
    return socket;
}

Result<Fd> connect_enclave(const std::string& path, uint32_t port) {
    auto socket = TRY(sys::unix_connect(path, SOCK_STREAM));
    const std::string line = "CONNECT " + std::to_string(port) + "\n";
    TRY(sys::write_all(socket, as_byte_view(line)));
    const auto answer = TRY(read_line(socket));
    if (!answer.starts_with("OK ")) return fail(ErrorCode::InvalidMessage, "answered '" + answer + "'");
    return socket;
}

Result<Fd> connect_once(const Order& order) {
    if (order.where.starts_with("cid:"))
        return connect_kernel_vsock(static_cast<uint32_t>(std::strtoul(order.where.c_str() + 4, nullptr, 10)),
                                    order.port);
    return connect_enclave(order.where, order.port);
}

// The guest's program listens some time after its machine has started.
Result<Fd> connect(const Order& order) {
    const auto deadline = Clock::now() + kPatience;
    for (;;) {
        auto socket = connect_once(order);
        if (socket || Clock::now() >= deadline) return socket;
        std::this_thread::sleep_for(kPause);
    }
}

Result<void> send_all(const Fd& socket, const Order& order) {
    const Bytes message(order.message, 0x5a);
    for (uint64_t sent = 0; sent < order.bytes; sent += order.message)
        TRY(sys::write_all(socket, message));
    if (::shutdown(socket.get(), SHUT_WR) < 0) return fail_errno(errno, "ending the stream");
    const auto answer = TRY(read_line(socket));
    if (answer != std::to_string(order.bytes))
        return fail(ErrorCode::InvalidMessage, "the probe answered '" + answer + "'");
    return {};
}

Result<void> receive_all(const Fd& socket, uint64_t bytes) {
    Bytes message(kMessage);
    uint64_t received = 0;
    for (;;) {
        const auto transfer = TRY(sys::read_some(socket, message));
        if (transfer.bytes == 0) break;
        received += transfer.bytes;
    }
    if (received != bytes)
        return fail(ErrorCode::Truncated,
                    std::to_string(received) + " of " + std::to_string(bytes) + " bytes came");
    return {};
}

Result<void> move_bytes(const Fd& socket, const Order& order) {
    const std::string command =
        order.direction == Direction::ToGuest
            ? "discard\n"
            : "source " + std::to_string(order.bytes) + " 1 " + std::to_string(order.message) + "\n";
    TRY(sys::write_all(socket, as_byte_view(command)));
    return order.direction == Direction::ToGuest ? send_all(socket, order) : receive_all(socket, order.bytes);
}

Result<double> measure(const Order& order, size_t stream_count) {
    std::vector<Fd> sockets;
    for (size_t i = 0; i < stream_count; ++i) {
        auto socket = TRY(connect(order));
        sockets.push_back(std::move(socket));
    }
    std::vector<Result<void>> outcomes(stream_count);
    std::barrier ready(static_cast<std::ptrdiff_t>(stream_count) + 1);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < stream_count; ++i) {
        threads.emplace_back([&, i] {
            ready.arrive_and_wait();
            outcomes[i] = move_bytes(sockets[i], order);
        });
    }
    const auto begin = Clock::now();
    ready.arrive_and_wait();
    for (auto& thread : threads)
        thread.join();
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    for (auto& outcome : outcomes)
        TRY(std::move(outcome));
    return static_cast<double>(order.bytes * stream_count) / (1 << 20) / elapsed.count();
}

Result<double> measure_round_trip(const Order& order, uint64_t count) {
    const auto socket = TRY(connect(order));
    TRY(sys::write_all(socket, as_byte_view("echo\n")));
    const Bytes message(kSmallMessage, 0x5a);
    Bytes answer(kSmallMessage);
    const auto exchange = [&]() -> Result<void> {
        TRY(sys::write_all(socket, message));
        return sys::read_exact(socket, answer);
    };
    TRY(exchange());  // the probe has read its command by then
    const auto begin = Clock::now();
    for (uint64_t i = 0; i < count; ++i)
        TRY(exchange());
    const std::chrono::duration<double, std::micro> elapsed = Clock::now() - begin;
    return elapsed.count() / static_cast<double>(count);
}

int say_why(const Error& error) {
    std::fprintf(stderr, "stream_rate: %s\n", error.to_string().c_str());
    return 1;
}

int print(const Result<double>& number) {
    if (!number) return say_why(number.error());
    std::printf("%.2f\n", *number);
    return 0;
}

Result<void> carry_out(const Order& order, const std::string& command) {
    const auto socket = TRY(connect(order));
    TRY(sys::write_all(socket, as_byte_view(command + "\n")));
    Bytes piece(kMessage);
    for (;;) {
        const auto transfer = TRY(sys::read_some(socket, piece));
        if (transfer.bytes == 0) return {};
        std::fwrite(piece.data(), 1, transfer.bytes, stdout);
    }
}

Result<double> connect_at_once(const Order& order, uint64_t count) {
    std::vector<Fd> sockets;
    while (sockets.size() < count) {
        auto socket = TRY(connect_once(order));
        sockets.push_back(std::move(socket));
    }
    return 0.0;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    const std::string direction = argc > 3 ? argv[3] : "";
    if (argc == 5 && (direction == "round-trip" || direction == "once" || direction == "command")) {
        const Order order{.where = argv[1],
                          .port = static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10)),
                          .direction = Direction::ToGuest,
                          .bytes = 0};
        if (direction == "command") {
            const auto done = carry_out(order, argv[4]);
            return done ? 0 : say_why(done.error());
        }
        const uint64_t count = std::strtoull(argv[4], nullptr, 10);
        return print(direction == "once" ? connect_at_once(order, count) : measure_round_trip(order, count));
    }
    const uint64_t message = argc > 6 ? std::strtoull(argv[6], nullptr, 10) : kMessage;
    if (argc < 5 || argc > 7 || message == 0 || (1 << 20) % message != 0 ||
        (direction != "to-guest" && direction != "from-guest")) {
        std::fputs(
            "usage: stream_rate PATH|cid:N PORT to-guest|from-guest MIB [STREAMS [MESSAGE]]\n"
            "       stream_rate PATH|cid:N PORT round-trip COUNT\n"
            "       stream_rate PATH|cid:N PORT once COUNT\n"
            "       stream_rate PATH|cid:N PORT command LINE\n",
            stderr);
        return 2;
    }
    const Order order{.where = argv[1],
                      .port = static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10)),
                      .direction = direction == "to-guest" ? Direction::ToGuest : Direction::FromGuest,
                      .bytes = std::strtoull(argv[4], nullptr, 10) << 20,
                      .message = message};
    return print(measure(order, argc > 5 ? std::strtoul(argv[5], nullptr, 10) : 1));
}

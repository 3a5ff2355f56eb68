// SPDX-License-Identifier: Apache-2.0
#include "probe/server.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include <linux/vm_sockets.h>
#include <pthread.h>
#include <sys/socket.h>

#include "support/system.hpp"

namespace alcove::probe {

namespace {

constexpr uint32_t kParentCid = 3;
constexpr size_t kStackBytes = 256 * 1024;

// Counts what is being served. The accepting thread adds, each connection's thread subtracts once at its end,
// and nothing else is read by the number, so relaxed ordering suffices.
std::atomic<unsigned> connections{0};

struct Work {
    Channel channel;
    const Surroundings& surroundings;
};

void* run_connection(void* argument) {
    {
        const std::unique_ptr<Work> work(static_cast<Work*>(argument));
        const auto outcome = serve(work->channel, work->surroundings);
        if (!outcome) std::fprintf(stderr, "probe: %s\n", outcome.error().to_string().c_str());
    }
    connections.fetch_sub(1, std::memory_order_relaxed);
    return nullptr;
}

// pthread_create and not std::thread: it says when it fails, and takes a stack's size.
void start_connection(Fd socket, const Surroundings& surroundings) {
    if (connections.load(std::memory_order_relaxed) >= kMostConnections) return;
    auto work = std::make_unique<Work>(
        Work{.channel = Channel::over_socket(std::move(socket)), .surroundings = surroundings});
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    connections.fetch_add(1, std::memory_order_relaxed);
    pthread_t thread{};
    if (pthread_create(&thread, &attributes, run_connection, work.get()) == 0) {
        static_cast<void>(work.release());  // the thread's now
    } else {
        connections.fetch_sub(1, std::memory_order_relaxed);
    }
    pthread_attr_destroy(&attributes);
}

sockaddr_vm address_of(uint32_t cid, uint32_t port) {
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = cid;
    address.svm_port = port;
    return address;
}

Result<Fd> vsock_socket() {
    Fd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return fail_errno(errno, "making a vsock socket");
    return socket;
}

// Errors of accept(2) that concern one connection, or that pass.
bool is_passing(int error) {
    return error == ECONNABORTED || error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

}  // namespace

Result<Fd> listen_on_vsock(uint32_t port) {
    Fd socket = TRY(vsock_socket());
    const sockaddr_vm address = address_of(VMADDR_CID_ANY, port);
    if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(errno, "binding to vsock port " + std::to_string(port));
    if (listen(socket.get(), kMostConnections) != 0) return fail_errno(errno, "listening");
    return socket;
}

Result<Fd> connect_to_parent(uint32_t port) {
    Fd socket = TRY(vsock_socket());
    const sockaddr_vm address = address_of(kParentCid, port);
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(errno, "connecting to the parent's port " + std::to_string(port));
    return socket;
}

Result<void> serve_all(const Fd& listener, const Surroundings& surroundings) {
    for (;;) {
        auto connection = sys::accept(listener);
        if (connection) {
            start_connection(std::move(*connection), surroundings);
        } else if (!is_passing(connection.error().errno_value())) {
            return Failure{std::move(connection).error()};
        } else {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    }
}

}  // namespace alcove::probe

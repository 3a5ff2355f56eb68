// SPDX-License-Identifier: Apache-2.0
#include "probe/server.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include <pthread.h>

#include "support/system.hpp"

namespace alcove::probe {

namespace {

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

// Errors of accept(2) that concern one connection, or that pass.
bool is_passing(int error) {
    return error == ECONNABORTED || error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

}  // namespace

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

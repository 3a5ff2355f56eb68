// SPDX-License-Identifier: Apache-2.0
//
// Serves several clients at once: a thread for each, because a document may take the security module a while
// and must not keep the others waiting. The number is capped; who comes on top is told so and closed.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "key_service/service.hpp"
#include "support/fd.hpp"

namespace alcove::key_service {

struct ServerLimits {
    size_t clients = 64;
    // For the next message to arrive whole, and for a reply to be taken.
    std::chrono::milliseconds patience = std::chrono::seconds(30);
};

class Server {
  public:
    explicit Server(const KeyService& service, ServerLimits limits = {})
        : service_(service), limits_(limits) {}
    // Waits for the clients, which takes as long as their patience at most.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // Takes connections until the listener fails or is shut down; that is its Error.
    Result<void> run(const Fd& listener);

    // Serves one connection on a thread of its own until the client closes it, is silent for too long, or
    // sends what is no message.
    void take(Fd connection);

  private:
    bool reserve_place();
    void free_place();
    void serve(Fd connection) const;

    const KeyService& service_;
    const ServerLimits limits_;
    std::mutex mutex_;
    std::condition_variable place_freed_;
    size_t clients_ = 0;  // under mutex_
};

}  // namespace alcove::key_service

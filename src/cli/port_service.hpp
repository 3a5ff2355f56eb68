// SPDX-License-Identifier: Apache-2.0
//
// What becomes of the connections that an enclave makes to a port served from here: each gets a program of
// its own, whose standard input and output it is, or is joined with a new connection to a Unix socket. A
// thread looks after each of them.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <sys/types.h>

#include "support/event_fd.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::cli {

class PortService {
  public:
    struct Task {
        std::string command;      // for /bin/sh; or
        std::string socket_path;  // a listening stream socket
    };
    // Half of what the bridge to the embedded host carries: each of them is a stream of it.
    static constexpr size_t kMostAtOnce = 128;

    static Result<std::unique_ptr<PortService>> create(Task task);
    // Ends what is under way.
    ~PortService();
    PortService(const PortService&) = delete;
    PortService& operator=(const PortService&) = delete;

    void take(Fd connection);
    bool is_full() const { return workers_.size() >= kMostAtOnce; }
    size_t at_work() const { return workers_.size(); }

    // How a connection ended: the program's exit code (128 + n for signal n), 0 for one that was joined.
    struct Outcome {
        uint64_t connection;  // counted from 1
        Result<int> exit_code;
    };
    const Fd& fd() const { return ended_.fd(); }  // readable when collect() has something
    std::vector<Outcome> collect();

  private:
    struct Worker {
        uint64_t number;
        Fd connection;
        std::thread thread;
        pid_t program = 0;  // 0: none runs
        std::optional<Result<int>> exit_code;
    };

    PortService(Task task, EventFd ended) : task_(std::move(task)), ended_(std::move(ended)) {}
    void serve(Worker& worker);
    Result<int> run_program(Worker& worker);
    Result<int> forward(Worker& worker);

    Task task_;
    EventFd ended_;
    uint64_t taken_ = 0;
    std::mutex mutex_;  // guards `stopping_`, and the workers' connections, programs and exit codes
    bool stopping_ = false;
    std::list<Worker> workers_;  // addresses stay: their threads refer to them
};

}  // namespace alcove::cli

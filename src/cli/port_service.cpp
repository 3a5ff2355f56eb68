// SPDX-License-Identifier: Apache-2.0
#include "cli/port_service.hpp"

#include <cerrno>
#include <csignal>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/relay.hpp"
#include "embedded/process.hpp"
#include "support/system.hpp"

namespace alcove::cli {

Result<std::unique_ptr<PortService>> PortService::create(Task task) {
    auto ended = TRY(EventFd::create());
    return std::unique_ptr<PortService>(new PortService(std::move(task), std::move(ended)));
}

PortService::~PortService() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        for (const auto& worker : workers_) {
            ::shutdown(worker.connection.get(), SHUT_RDWR);
            if (worker.program != 0) ::kill(worker.program, SIGTERM);
        }
    }
    for (auto& worker : workers_)
        worker.thread.join();
}

void PortService::take(Fd connection) {
    Worker& worker = workers_.emplace_back();
    worker.number = ++taken_;
    worker.connection = std::move(connection);
    worker.thread = std::thread([this, &worker] { serve(worker); });
}

void PortService::serve(Worker& worker) {
    auto exit_code = task_.command.empty() ? forward(worker) : run_program(worker);
    const std::lock_guard lock(mutex_);
    worker.connection.reset();
    worker.exit_code = std::move(exit_code);
    ended_.signal();
}

Result<int> PortService::run_program(Worker& worker) {
    embedded::SpawnOptions options;
    options.arguments = {"/bin/sh", "-c", task_.command};
    options.descriptors = {worker.connection.get(), worker.connection.get(), STDERR_FILENO};
    const pid_t pid = TRY(embedded::spawn(options));
    {
        const std::lock_guard lock(mutex_);
        worker.program = pid;
        // The program alone holds it from now on, so that its end is the connection's.
        worker.connection.reset();
        if (stopping_) ::kill(pid, SIGTERM);
    }
    // It stays a zombie, whose number nobody else gets, until it is forgotten here.
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    const std::lock_guard lock(mutex_);
    worker.program = 0;
    int status = 0;
    if (::waitpid(pid, &status, 0) < 0) return fail_errno(errno, "waiting for the program");
    return embedded::exit_code_of(status);
}

Result<int> PortService::forward(Worker& worker) {
    const auto target = TRY(sys::unix_connect(task_.socket_path, SOCK_STREAM));
    TRY(join(worker.connection, target));
    return 0;
}

std::vector<PortService::Outcome> PortService::collect() {
    std::vector<Outcome> outcomes;
    const std::lock_guard lock(mutex_);
    ended_.drain();
    for (auto at = workers_.begin(); at != workers_.end();) {
        if (!at->exit_code) {
            ++at;
            continue;
        }
        // Its last act was to let go of the lock that is held here, so this does not wait.
        at->thread.join();
        outcomes.push_back({.connection = at->number, .exit_code = std::move(*at->exit_code)});
        at = workers_.erase(at);
    }
    return outcomes;
}

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
#include "init/application.hpp"

#include <cerrno>
#include <csignal>
#include <ctime>
#include <optional>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace alcove::init {

namespace {

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    for (const std::string& string : strings)
        pointers.push_back(const_cast<char*>(string.c_str()));  // execve(2) does not write to them
    pointers.push_back(nullptr);
    return pointers;
}

sigset_t child_signal() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    return set;
}

// The status of `wanted` if it was among those that have ended.
std::optional<int> reap_all(pid_t wanted) {
    std::optional<int> found;
    for (;;) {
        int status = 0;
        const pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) return found;
        if (pid == wanted) found = status;
    }
}

}  // namespace

Result<Application> Application::start(const std::vector<std::string>& command,
                                       const std::vector<std::string>& environment) {
    // Blocked from before the start, so that no end is missed between a look and a wait.
    const sigset_t blocked = child_signal();
    sigprocmask(SIG_BLOCK, &blocked, nullptr);

    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);

    auto arguments = pointers_to(command);
    auto variables = pointers_to(environment);
    // posix_spawnp looks for PATH in the caller's environment, not in the one it hands on.
    environ = variables.data();
    pid_t pid = 0;
    const int error =
        posix_spawnp(&pid, arguments.front(), nullptr, &attributes, arguments.data(), variables.data());
    environ = nullptr;
    posix_spawnattr_destroy(&attributes);
    if (error != 0) return fail_errno(error, "running " + command.front());
    return Application(pid);
}

std::optional<int> Application::wait(std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    const sigset_t awaited = child_signal();
    for (;;) {
        if (const auto status = reap_all(pid_)) return status;
        const std::chrono::nanoseconds left = deadline - std::chrono::steady_clock::now();
        if (left <= std::chrono::nanoseconds::zero()) return std::nullopt;
        const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
        const timespec time{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
        sigtimedwait(&awaited, nullptr, &time);
    }
}

}  // namespace alcove::init

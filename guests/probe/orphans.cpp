// SPDX-License-Identifier: Apache-2.0
#include "probe/orphans.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "support/system.hpp"

namespace alcove::probe {

namespace {

// Between the forks of a program with threads nothing may be called but system calls.
[[noreturn]] void have_a_child_and_end(int pipe) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    const bool told = child > 0 && write(pipe, &child, sizeof child) == sizeof child;
    _exit(told ? 0 : 1);
}

Result<pid_t> make_orphan() {
    const auto pipe = TRY(sys::pipe());
    const pid_t parent = fork();
    if (parent < 0) return fail_errno(errno, "fork");
    if (parent == 0) have_a_child_and_end(pipe.second.get());
    int status = 0;
    if (waitpid(parent, &status, 0) != parent || status != 0)
        return fail(ErrorCode::Internal, "a process could not have a child");
    pid_t orphan = 0;
    if (read(pipe.first.get(), &orphan, sizeof orphan) != sizeof orphan) return fail_errno(errno, "read");
    return orphan;
}

bool is_gone(pid_t process) {
    return kill(process, 0) != 0 && errno == ESRCH;
}

}  // namespace

Result<size_t> orphans_left(size_t count, std::chrono::milliseconds patience) {
    std::vector<pid_t> orphans;
    for (size_t i = 0; i < count; ++i)
        orphans.push_back(TRY(make_orphan()));
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (true) {
        std::erase_if(orphans, is_gone);
        if (orphans.empty() || std::chrono::steady_clock::now() >= deadline) return orphans.size();
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

}  // namespace alcove::probe

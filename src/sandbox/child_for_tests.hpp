// SPDX-License-Identifier: Apache-2.0
//
// For tests of sandboxes: a child that does something and ends, and how it ended. Each try needs a process of
// its own, for a filter can not be taken off again.
#pragma once

#include <csignal>
#include <functional>

#include <sys/wait.h>
#include <unistd.h>

#include "support/check.hpp"

namespace alcove::sandbox {

// The status that waitpid gives for a child that runs `action` and then exits with 0.
inline int status_of_child(const std::function<void()>& action) {
    const pid_t child = ::fork();
    ALCOVE_CHECK(child >= 0, "a child for the test");
    if (child == 0) {
        action();
        ::_exit(0);
    }
    int status = 0;
    ALCOVE_CHECK(::waitpid(child, &status, 0) == child, "the child's end");
    return status;
}

inline bool exited_with(int status, int code) {
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

// By a filter.
inline bool was_ended(int status) {
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

}  // namespace alcove::sandbox

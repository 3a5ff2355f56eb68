// SPDX-License-Identifier: Apache-2.0
//
// The application: one process that init starts, and whose end is the machine's.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <sys/types.h>

#include "support/result.hpp"

namespace alcove::init {

class Application {
  public:
    // Starts the program in a session of its own, with exactly this environment; a program without a slash is
    // looked for along the environment's PATH. What keeps it from running (no such file, not executable) is
    // the Error.
    static Result<Application> start(const std::vector<std::string>& command,
                                     const std::vector<std::string>& environment);

    // Waits for the application's end, for `limit` at most, and meanwhile reaps every process whose parent
    // has gone. Returns the status of waitpid(2), or nothing when the time is over.
    std::optional<int> wait(std::chrono::milliseconds limit);

  private:
    explicit Application(pid_t pid) : pid_(pid) {}

    pid_t pid_;
};

}  // namespace alcove::init

// SPDX-License-Identifier: Apache-2.0
//
// The log of a process: lines on standard error, with the program's name and, in a VMM, its VM. No secret,
// key or guest memory ever reaches it. What a guest can cause at will goes through a RateLimit.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <spdlog/spdlog.h>

namespace alcove::log {

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

// Once at the start of main(). ALCOVE_LOG=debug|info|warn|error sets the level; info is the default.
void start(const std::string& name);

// At most `burst` lines in a period; says how many were left out when the next one goes through.
class RateLimit {
  public:
    RateLimit(uint32_t burst, std::chrono::milliseconds period) : burst_(burst), period_(period) {}
    // Whether to log now. `suppressed` gets the count of lines left out since the last one that passed.
    bool allow(uint64_t& suppressed);

  private:
    uint32_t burst_;
    std::chrono::milliseconds period_;
    uint32_t used_ = 0;
    uint64_t suppressed_ = 0;
    std::chrono::steady_clock::time_point period_start_{};
};

}  // namespace alcove::log

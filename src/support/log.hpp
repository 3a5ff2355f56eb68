// SPDX-License-Identifier: Apache-2.0
//
// The log of a process: lines on standard error, with the program's name and, in a VMM, its VM. No secret,
// key or guest memory ever reaches it. What a guest can cause at will goes through a RateLimit.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <fmt/core.h>

namespace alcove::log {

enum class Level : uint8_t { Debug, Info, Warn, Error };

// What the four below are made of: they only check the format against its arguments, so that the files that
// log do not each compile the log library.
void write(Level level, fmt::string_view format, fmt::format_args arguments);

template <typename... T>
void debug(fmt::format_string<T...> format, T&&... arguments) {
    write(Level::Debug, format, fmt::make_format_args(arguments...));
}
template <typename... T>
void info(fmt::format_string<T...> format, T&&... arguments) {
    write(Level::Info, format, fmt::make_format_args(arguments...));
}
template <typename... T>
void warn(fmt::format_string<T...> format, T&&... arguments) {
    write(Level::Warn, format, fmt::make_format_args(arguments...));
}
template <typename... T>
void error(fmt::format_string<T...> format, T&&... arguments) {
    write(Level::Error, format, fmt::make_format_args(arguments...));
}

// Once at the start of main(). ALCOVE_LOG=debug|info|warn|error sets the level; info is the default.
void start(const std::string& name);

// No more lines: for fuzzers, which cause millions.
void silence();

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

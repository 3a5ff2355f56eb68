// SPDX-License-Identifier: Apache-2.0
#include "support/log.hpp"

#include <cstdlib>
#include <ctime>
#include <utility>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace alcove::log {

namespace {

spdlog::level::level_enum spdlog_level(Level level) {
    switch (level) {
        case Level::Debug:
            return spdlog::level::debug;
        case Level::Info:
            return spdlog::level::info;
        case Level::Warn:
            return spdlog::level::warn;
        case Level::Error:
            return spdlog::level::err;
    }
    return spdlog::level::err;
}

}  // namespace

void write(Level level, fmt::string_view format, fmt::format_args arguments) {
    if (!spdlog::should_log(spdlog_level(level))) return;
    spdlog::log(spdlog_level(level), fmt::vformat(format, arguments));
}

void start(const std::string& name) {
    // The time zone's file is read now: a sandboxed process could not open it at its first line.
    ::tzset();
    auto logger = std::make_shared<spdlog::logger>(name, std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %n %l: %v");
    if (const char* level = std::getenv("ALCOVE_LOG")) logger->set_level(spdlog::level::from_str(level));
    logger->flush_on(spdlog::level::trace);
    spdlog::set_default_logger(std::move(logger));
}

void silence() {
    spdlog::set_level(spdlog::level::off);
}

bool RateLimit::allow(uint64_t& suppressed) {
    const auto now = std::chrono::steady_clock::now();
    if (now - period_start_ >= period_) {
        period_start_ = now;
        used_ = 0;
    }
    if (used_ >= burst_) {
        ++suppressed_;
        return false;
    }
    ++used_;
    suppressed = std::exchange(suppressed_, 0);
    return true;
}

}  // namespace alcove::log

// SPDX-License-Identifier: Apache-2.0
#include "support/log.hpp"

#include <cstdlib>
#include <ctime>
#include <utility>

#include <spdlog/sinks/stdout_sinks.h>

namespace alcove::log {

void start(const std::string& name) {
    // The time zone's file is read now: a sandboxed process could not open it at its first line.
    ::tzset();
    auto logger = std::make_shared<spdlog::logger>(name, std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %n %l: %v");
    if (const char* level = std::getenv("ALCOVE_LOG")) logger->set_level(spdlog::level::from_str(level));
    logger->flush_on(spdlog::level::trace);
    spdlog::set_default_logger(std::move(logger));
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

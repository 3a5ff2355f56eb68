// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.hpp"

namespace alcove::cli {

Progress::Progress(const Output& output, std::string what, Pace pace)
    : output_(output), pace_(pace), what_(std::move(what)) {
    if (output_.shows_progress()) thread_ = std::thread([this] { run(); });
}

Progress::~Progress() {
    {
        const std::lock_guard lock(mutex_);
        over_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void Progress::update(std::string what) {
    const std::lock_guard lock(mutex_);
    what_ = std::move(what);
}

void Progress::run() {
    const bool terminal = output_.streams().err_is_terminal;
    std::unique_lock lock(mutex_);
    bool shown = false;
    auto next = begun_ + pace_.quiet_for;
    while (!wake_.wait_until(lock, next, [this] { return over_; })) {
        const auto elapsed =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun_);
        const std::string text = what_ + " (" + elapsed_text(elapsed) + ")";
        output_.streams().err(terminal ? "\r\033[K" + text : text + "\n");
        shown = true;
        next = std::chrono::steady_clock::now() + (terminal ? pace_.terminal_every : pace_.plain_every);
    }
    if (shown && terminal) output_.streams().err("\r\033[K");
}

std::string elapsed_text(std::chrono::milliseconds elapsed) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(elapsed).count();
    if (seconds < 60) return std::to_string(seconds) + " s";
    return std::to_string(seconds / 60) + " min " + std::to_string(seconds % 60) + " s";
}

std::string percent_text(uint64_t done, uint64_t total) {
    if (total == 0) return "0 %";
    const auto percent = static_cast<unsigned __int128>(done > total ? total : done) * 100 / total;
    return std::to_string(static_cast<uint64_t>(percent)) + " %";
}

}  // namespace alcove::cli

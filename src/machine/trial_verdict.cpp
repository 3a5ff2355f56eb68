// SPDX-License-Identifier: Apache-2.0
#include "machine/trial_verdict.hpp"

#include <string_view>

namespace alcove::machine {

namespace {

constexpr int kExits = 1000;  // of the step "exits" of check.S
constexpr size_t kMaxOutput = 4096;

// The line it did not finish, or the first one that says `failed`.
std::string failed_step(std::string_view text) {
    while (!text.empty()) {
        const size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        if (end == std::string_view::npos || line.ends_with(" failed"))
            return std::string(line.substr(0, line.find(' ')));
        text.remove_prefix(end + 1);
    }
    return "";
}

std::string milliseconds(std::chrono::nanoseconds time) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) + " ms";
}

}  // namespace

void TrialConsole::take(uint8_t byte, Clock::time_point now) {
    if (text_.size() >= kMaxOutput) return;
    if (step_began_) {
        auto& time = text_.ends_with("exits ") ? exits_ : loop_;
        time = now - *step_began_;
        step_began_.reset();
    }
    text_.push_back(static_cast<char>(byte));
    if (text_.ends_with("exits ") || text_.ends_with("loop ")) step_began_ = now;
}

host::GuestTrial judge_trial(const TrialConsole& console, const std::string& trouble,
                             std::chrono::nanoseconds own_loop) {
    host::GuestTrial trial;
    if (console.exits()) trial.plain_exit = *console.exits() / kExits;
    trial.timed_loop = console.loop();
    trial.ran = host::Answer::No;
    trial.failed_step = failed_step(console.text());
    if (!console.text().ends_with("\ndone\n")) {
        trial.reason = trouble;
    } else if (!trial.failed_step.empty() || !trial.timed_loop) {
        trial.reason = "the guest computed something wrong";
    } else if (*trial.timed_loop > kSlowestLoop * own_loop) {
        trial.failed_step = kLoopStep;
        trial.reason = "it emulates: a loop took " + milliseconds(*trial.timed_loop) +
                       ", and outside it takes " + milliseconds(own_loop);
    } else {
        trial.ran = host::Answer::Yes;
    }
    return trial;
}

}  // namespace alcove::machine

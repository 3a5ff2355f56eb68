// SPDX-License-Identifier: Apache-2.0
//
// What the words of the check guest (guests/asm/check.S) and the times at which they came say about a KVM.
// Pure: guest_trial.hpp runs the guest.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "host/capabilities.hpp"

namespace alcove::machine {

// The guest's console. Two steps are timed from outside: a step's name is on the console before it begins,
// its result after it.
class TrialConsole {
  public:
    using Clock = std::chrono::steady_clock;

    // Bytes after the first 4096 are dropped.
    void take(uint8_t byte, Clock::time_point now);

    const std::string& text() const { return text_; }
    std::optional<Clock::duration> exits() const { return exits_; }  // of a thousand
    std::optional<Clock::duration> loop() const { return loop_; }    // of kTrialLoopTurns

  private:
    std::string text_;
    std::optional<Clock::time_point> step_began_;
    std::optional<Clock::duration> exits_;
    std::optional<Clock::duration> loop_;
};

inline constexpr uint32_t kTrialLoopTurns = 10'000'000;
// A KVM whose guest takes this many times as long for the loop as a program of the host does emulates it: an
// interpreter costs that much at least, an exit for each instruction a thousand times.
inline constexpr int kSlowestLoop = 20;
// The step that such a guest fails at.
inline constexpr const char* kLoopStep = "loop";

// `trouble`: why the guest ended before it said that it is done. `own_loop`: what the loop takes outside.
host::GuestTrial judge_trial(const TrialConsole& console, const std::string& trouble,
                             std::chrono::nanoseconds own_loop);

}  // namespace alcove::machine

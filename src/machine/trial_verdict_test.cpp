// SPDX-License-Identifier: Apache-2.0
#include "machine/trial_verdict.hpp"

#include <string_view>

#include <gtest/gtest.h>

namespace alcove::machine {
namespace {

using namespace std::chrono_literals;
using host::Answer;

constexpr auto kOwnLoop = 4ms;

// A guest that says `text`, and takes so long for each of the two timed steps that it comes to.
TrialConsole console_of(std::string_view text, std::chrono::nanoseconds exits = 2ms,
                        std::chrono::nanoseconds loop = kOwnLoop) {
    TrialConsole console;
    TrialConsole::Clock::time_point now;
    for (const char character : text) {
        if (console.text().ends_with("exits ")) now += exits;
        if (console.text().ends_with("loop ")) now += loop;
        console.take(static_cast<uint8_t>(character), now);
    }
    return console;
}

constexpr std::string_view kWhole = "paging ok\nsse ok\nbmi2 ok\nexits 1000\nloop 12000000\ndone\n";

TEST(TrialVerdict, AGuestThatIsDoneRan) {
    const auto trial = judge_trial(console_of(kWhole, 3ms, 5ms), "i8042_reset", kOwnLoop);

    EXPECT_EQ(trial.ran, Answer::Yes);
    EXPECT_EQ(trial.failed_step, "");
    EXPECT_EQ(trial.reason, "");
    EXPECT_EQ(trial.plain_exit, 3us);
    EXPECT_EQ(trial.timed_loop, 5ms);
}

TEST(TrialVerdict, AProcessorWithoutBmi2IsNoFailure) {
    EXPECT_EQ(
        judge_trial(console_of("paging ok\nsse ok\nbmi2 absent\nexits 1000\nloop 1\ndone\n"), "", kOwnLoop)
            .ran,
        Answer::Yes);
}

TEST(TrialVerdict, AGuestThatStopsIsSaidToHaveFailedAtItsStep) {
    for (const std::string_view step : {"paging", "sse", "bmi2", "exits", "loop"}) {
        const auto text = kWhole.substr(0, kWhole.find(step) + step.size() + 1);
        const auto trial = judge_trial(console_of(text), "kvm_error: emulation failed", kOwnLoop);

        EXPECT_EQ(trial.ran, Answer::No);
        EXPECT_EQ(trial.failed_step, step);
        EXPECT_EQ(trial.reason, "kvm_error: emulation failed");
        EXPECT_FALSE(trial.timed_loop) << step;
    }
}

TEST(TrialVerdict, AGuestThatNeverSaidAnythingFailedNowhere) {
    const auto trial = judge_trial(TrialConsole(), "KVM_CREATE_VM: refused", kOwnLoop);

    EXPECT_EQ(trial.ran, Answer::No);
    EXPECT_EQ(trial.failed_step, "");
    EXPECT_EQ(trial.reason, "KVM_CREATE_VM: refused");
}

TEST(TrialVerdict, AGuestThatIsLateAfterItsStepsDidNotRun) {
    const auto text = kWhole.substr(0, kWhole.find("done"));

    EXPECT_EQ(judge_trial(console_of(text), "it did not end in 30 s", kOwnLoop).ran, Answer::No);
}

TEST(TrialVerdict, AWrongResultIsAFailure) {
    const auto trial = judge_trial(console_of("paging ok\nsse failed\nbmi2 ok\nexits 1000\nloop 1\ndone\n"),
                                   "i8042_reset", kOwnLoop);

    EXPECT_EQ(trial.ran, Answer::No);
    EXPECT_EQ(trial.failed_step, "sse");
    EXPECT_EQ(trial.reason, "the guest computed something wrong");
}

TEST(TrialVerdict, ALoopAsSlowAsAnInterpretersIsAFailure) {
    const auto slow = judge_trial(console_of(kWhole, 2ms, 20 * kOwnLoop + 1ns), "i8042_reset", kOwnLoop);

    EXPECT_EQ(slow.ran, Answer::No);
    EXPECT_EQ(slow.failed_step, kLoopStep);
    EXPECT_EQ(slow.reason, "it emulates: a loop took 80 ms, and outside it takes 4 ms");
    EXPECT_EQ(judge_trial(console_of(kWhole, 2ms, 20 * kOwnLoop), "", kOwnLoop).ran, Answer::Yes);
}

TEST(TrialVerdict, AnEndlessConsoleIsCut) {
    EXPECT_EQ(console_of(std::string(10'000, 'x')).text().size(), 4096U);
}

}  // namespace
}  // namespace alcove::machine

// SPDX-License-Identifier: Apache-2.0
#include "init/clock_policy.hpp"

#include <array>

#include <gtest/gtest.h>

namespace alcove::init {
namespace {

using namespace std::chrono_literals;

TEST(ClockPolicy, SmallDifferenceIsKept) {
    EXPECT_EQ(decide({0ns, 0ns}), ClockAction::Keep);
    EXPECT_EQ(decide({5ms, 0ns}), ClockAction::Keep);
    EXPECT_EQ(decide({-5ms, 0ns}), ClockAction::Keep);
}

TEST(ClockPolicy, MediumDifferenceIsSlewedInBothDirections) {
    EXPECT_EQ(decide({5'000'001ns, 0ns}), ClockAction::Slew);
    EXPECT_EQ(decide({-6ms, 0ns}), ClockAction::Slew);
    EXPECT_EQ(decide({100ms, 0ns}), ClockAction::Slew);
}

TEST(ClockPolicy, LargeDifferenceIsSteppedInBothDirections) {
    EXPECT_EQ(decide({100'000'001ns, 0ns}), ClockAction::Step);
    EXPECT_EQ(decide({-24h, 0ns}), ClockAction::Step);
}

TEST(ClockPolicy, DifferenceThatTheReadingCouldExplainIsKept) {
    EXPECT_EQ(decide({150ms, 145ms}), ClockAction::Keep);
    EXPECT_EQ(decide({150ms, 100ms}), ClockAction::Slew);
    EXPECT_EQ(decide({-150ms, 49ms}), ClockAction::Step);
}

TEST(ClockPolicy, HostReadingBelongsToTheMiddleOfTheInterval) {
    const std::array samples{ClockSample{1000ms, 1250ms, 1100ms}};
    const ClockDifference difference = best_difference(samples);
    EXPECT_EQ(difference.offset, 200ms);
    EXPECT_EQ(difference.uncertainty, 50ms);
}

TEST(ClockPolicy, SampleWithTheShortestIntervalIsUsed) {
    const std::array samples{
        ClockSample{1000ms, 1090ms, 1080ms},
        ClockSample{2000ms, 2011ms, 2002ms},
        ClockSample{3000ms, 3500ms, 3100ms},
    };
    const ClockDifference difference = best_difference(samples);
    EXPECT_EQ(difference.offset, 10ms);
    EXPECT_EQ(difference.uncertainty, 1ms);
}

TEST(ClockPolicy, SampleAcrossAStepBackIsNotUsed) {
    const std::array samples{
        ClockSample{5000ms, 1000ms, 1000ms},
        ClockSample{1000ms, 1003ms, 1004ms},
    };
    EXPECT_EQ(best_difference(samples).offset, 1ms);
    EXPECT_EQ(decide(best_difference(std::span(samples).first(1))), ClockAction::Keep);
}

}  // namespace
}  // namespace alcove::init

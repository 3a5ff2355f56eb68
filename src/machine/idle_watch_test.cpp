// SPDX-License-Identifier: Apache-2.0
#include "machine/idle_watch.hpp"

#include <array>

#include <gtest/gtest.h>

namespace alcove::machine {
namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

TEST(IdleWatch, SaysNothingOfTheFirstPeriod) {
    IdleWatch watch;

    EXPECT_FALSE(watch.idle(std::array<nanoseconds, 2>{0ns, 0ns}));
}

TEST(IdleWatch, EachVcpuHasToBeIdle) {
    IdleWatch watch;
    watch.idle(std::array<nanoseconds, 2>{5ms, 7s});

    EXPECT_FALSE(watch.idle(std::array<nanoseconds, 2>{6ms, 8s}));
    EXPECT_FALSE(watch.idle(std::array<nanoseconds, 2>{16ms, 8s}));
    EXPECT_TRUE(watch.idle(std::array<nanoseconds, 2>{16ms, 8s}));
}

TEST(IdleWatch, WhatALookCostsIsIdleAndAPeriodIsMeasuredFromTheOneBefore) {
    IdleWatch watch;
    nanoseconds used = 1s;
    watch.idle(std::array{used});

    for (int period = 0; period < 20; ++period) {
        used += 1ms;
        EXPECT_TRUE(watch.idle(std::array{used})) << period;
    }
    used += IdleWatch::kIdleAtMost;
    EXPECT_FALSE(watch.idle(std::array{used}));
}

}  // namespace
}  // namespace alcove::machine

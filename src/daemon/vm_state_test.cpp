// SPDX-License-Identifier: Apache-2.0
#include "daemon/vm_state.hpp"

#include <gtest/gtest.h>

namespace alcove::daemon {
namespace {

constexpr VmState kAll[] = {VmState::Reserving, VmState::Measuring, VmState::Starting, VmState::Running,
                            VmState::Stopping,  VmState::Stopped,   VmState::Failed};

TEST(VmState, NamesComeBack) {
    for (const auto state : kAll)
        EXPECT_EQ(state_from(state_name(state)), state);
    EXPECT_EQ(state_from("Running"), std::nullopt);
    EXPECT_EQ(state_from(""), std::nullopt);
}

TEST(VmState, TheEndIsReachedThroughStoppingOnly) {
    for (const auto state : kAll) {
        const bool may = state == VmState::Stopping;
        EXPECT_EQ(may_follow(state, VmState::Stopped), may || state == VmState::Stopped);
        EXPECT_EQ(may_follow(state, VmState::Failed), may || state == VmState::Failed);
    }
}

TEST(VmState, NothingGoesBack) {
    for (const auto now : kAll)
        for (const auto next : kAll)
            EXPECT_FALSE(next < now && !is_over(now) && may_follow(now, next)) << state_name(now);
    EXPECT_FALSE(may_follow(VmState::Stopped, VmState::Running));
    EXPECT_FALSE(may_follow(VmState::Stopped, VmState::Failed));
}

TEST(VmState, StepsMayBeSkipped) {
    EXPECT_TRUE(may_follow(VmState::Reserving, VmState::Running));
    EXPECT_TRUE(may_follow(VmState::Measuring, VmState::Stopping));
}

}  // namespace
}  // namespace alcove::daemon

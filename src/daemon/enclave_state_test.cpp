// SPDX-License-Identifier: Apache-2.0
#include "daemon/enclave_state.hpp"

#include <gtest/gtest.h>

namespace alcove::daemon {
namespace {

constexpr EnclaveState kAll[] = {EnclaveState::Reserving, EnclaveState::Measuring, EnclaveState::Starting,
                                 EnclaveState::Running,   EnclaveState::Stopping,  EnclaveState::Stopped,
                                 EnclaveState::Failed};

TEST(EnclaveState, NamesComeBack) {
    for (const auto state : kAll)
        EXPECT_EQ(state_from(state_name(state)), state);
    EXPECT_EQ(state_from("Running"), std::nullopt);
    EXPECT_EQ(state_from(""), std::nullopt);
}

TEST(EnclaveState, TheEndIsReachedThroughStoppingOnly) {
    for (const auto state : kAll) {
        const bool may = state == EnclaveState::Stopping;
        EXPECT_EQ(may_follow(state, EnclaveState::Stopped), may || state == EnclaveState::Stopped);
        EXPECT_EQ(may_follow(state, EnclaveState::Failed), may || state == EnclaveState::Failed);
    }
}

TEST(EnclaveState, NothingGoesBack) {
    for (const auto now : kAll)
        for (const auto next : kAll)
            EXPECT_FALSE(next < now && !is_over(now) && may_follow(now, next)) << state_name(now);
    EXPECT_FALSE(may_follow(EnclaveState::Stopped, EnclaveState::Running));
    EXPECT_FALSE(may_follow(EnclaveState::Stopped, EnclaveState::Failed));
}

TEST(EnclaveState, StepsMayBeSkipped) {
    EXPECT_TRUE(may_follow(EnclaveState::Reserving, EnclaveState::Running));
    EXPECT_TRUE(may_follow(EnclaveState::Measuring, EnclaveState::Stopping));
}

}  // namespace
}  // namespace alcove::daemon

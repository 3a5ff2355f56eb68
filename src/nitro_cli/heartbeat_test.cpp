// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/heartbeat.hpp"

#include <ctime>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nitro_cli/failure_code.hpp"
#include "nitro_cli/machine_fake.hpp"
#include "nitro_cli/start_lock.hpp"

namespace alcove::nitro_cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class HeartbeatTest : public testing::Test {
  protected:
    HeartbeatTest()
        : port_(machine_.port()),
          enclave_(sys::socket_pair(SOCK_STREAM).value()),
          caller_(sys::socket_pair(SOCK_STREAM).value()),
          listener_(port_.listen().value()) {}
    Result<void> wait(milliseconds patience = seconds(20)) {
        return await_heartbeat(port_, {.listener = listener_,
                                       .enclave = enclave_.first,
                                       .caller = caller_.first,
                                       .cid = 16,
                                       .patience = patience});
    }
    std::string failure(milliseconds patience = seconds(20)) {
        const auto waited = wait(patience);
        EXPECT_FALSE(waited);
        EXPECT_EQ(code_of(waited.error()), FailureCode::EnclaveBoot);
        return waited.error().to_string();
    }

    FakeMachine machine_;
    FakePort port_;
    sys::Pair enclave_;
    sys::Pair caller_;
    Fd listener_;
};

TEST_F(HeartbeatTest, TheByteIsEchoed) {
    bool echoed = false;
    std::thread enclave([&] { echoed = port_.beat(); });

    EXPECT_TRUE(wait());

    enclave.join();
    EXPECT_TRUE(echoed);
}

TEST_F(HeartbeatTest, AnEnclaveThatEndsIsReportedAtOnce) {
    enclave_.second.reset();

    EXPECT_THAT(failure(std::chrono::hours(1)), HasSubstr("ended before its heartbeat"));
}

TEST_F(HeartbeatTest, AHeartbeatRightBeforeTheEndCounts) {
    const Fd socket = port_.connect();
    ASSERT_EQ(::send(socket.get(), &kHeartbeat, 1, MSG_NOSIGNAL), 1);
    enclave_.second.reset();

    EXPECT_TRUE(wait());
}

TEST_F(HeartbeatTest, ASilentEnclaveIsReportedInTime) {
    EXPECT_THAT(failure(milliseconds(50)), HasSubstr("no heartbeat"));
}

TEST_F(HeartbeatTest, AnotherByteIsNoHeartbeat) {
    std::thread enclave([&] { port_.beat(0x42); });

    EXPECT_THAT(failure(), HasSubstr("something else"));

    enclave.join();
}

TEST_F(HeartbeatTest, WhoConnectsAndLeavesIsNotWaitedFor) {
    port_.connect();
    std::thread enclave([&] { port_.beat(); });

    EXPECT_TRUE(wait());

    enclave.join();
}

TEST_F(HeartbeatTest, AnotherEnclavesHeartbeatIsNotThisOnes) {
    port_.set_peer(17);
    std::thread enclave([&] { port_.beat(); });

    EXPECT_THAT(failure(milliseconds(200)), HasSubstr("no heartbeat"));

    enclave.join();
}

TEST_F(HeartbeatTest, ACallerThatGoesEndsTheWaiting) {
    caller_.second.reset();

    EXPECT_THAT(failure(), HasSubstr("has gone"));
}

TEST_F(HeartbeatTest, APortOfAnotherProgramIsWaitedForAWhile) {
    const auto refused = listen_for_heartbeat(port_, caller_.first, milliseconds(0));
    ASSERT_FALSE(refused);
    EXPECT_EQ(code_of(refused.error()), FailureCode::EnclaveBoot);
    EXPECT_THAT(refused.error().message(), HasSubstr("port 9000"));

    std::thread other([&] { listener_.reset(); });
    EXPECT_TRUE(listen_for_heartbeat(port_, caller_.first, seconds(20)));
    other.join();
}

TEST_F(HeartbeatTest, APortIsNotWaitedForWhenNobodyWaitsForTheEnclave) {
    caller_.second.reset();

    const auto refused = listen_for_heartbeat(port_, caller_.first, std::chrono::hours(1));

    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(), HasSubstr("has gone"));
}

TEST_F(HeartbeatTest, SilentConnectionsAreNotLookedAtAgainAndAgain) {
    std::vector<Fd> silent;
    while (silent.size() < 20)
        silent.push_back(port_.connect());
    const auto before = std::clock();

    EXPECT_THAT(failure(milliseconds(1000)), HasSubstr("no heartbeat"));

    EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 4);
}

TEST_F(HeartbeatTest, StartsTakeTurns) {
    const auto path = machine_.places().lock_file();
    auto first = StartLock::take(path, caller_.first);
    ASSERT_TRUE(first);
    std::thread leaver([&] { caller_.second.reset(); });
    const auto second = StartLock::take(path, caller_.first);
    leaver.join();
    ASSERT_FALSE(second);
    EXPECT_EQ(code_of(second.error()), FailureCode::LockAcquire);
    first = Result<StartLock>(Failure{Error(ErrorCode::Cancelled, "")});
    EXPECT_TRUE(StartLock::take(path, enclave_.first));
}

}  // namespace
}  // namespace alcove::nitro_cli

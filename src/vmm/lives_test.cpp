// SPDX-License-Identifier: Apache-2.0
#include "vmm/lives.hpp"

#include <csignal>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "api/lives_messages.hpp"
#include "support/system.hpp"

namespace alcove::vmm {
namespace {

namespace lives = api::lives;

constexpr std::chrono::seconds kPatience(10);

struct LivesTest : testing::Test {
    Channel parent;  // this test is the shim
    pid_t parent_pid = 0;

    void start(const Live& live) {
        auto ends = sys::socket_pair(SOCK_SEQPACKET).value();
        parent_pid = ::fork();
        if (parent_pid == 0) {
            ends.first.reset();
            ::_exit(run_lives(Channel(std::move(ends.second)), live) ? 0 : 1);
        }
        parent = Channel(std::move(ends.first));
        api::exchange_hello(parent, api::Protocol::Lives, lives::kVersions, kPatience).value();
    }
    ~LivesTest() override {
        parent = Channel();
        if (parent_pid > 0) ::waitpid(parent_pid, nullptr, 0);
    }

    // The life's channel, our end.
    Channel begin() {
        auto ends = sys::socket_pair(SOCK_SEQPACKET).value();
        parent.send(api::encode(lives::BeginLife{}), {ends.second.get()}).value();
        return Channel(std::move(ends.first));
    }
    template <typename T>
    T next() {
        const auto message = parent.receive_within(kPatience).value();
        return api::decode<T>(api::open_envelope(message.data).value()).value();
    }
};

TEST_F(LivesTest, OneLifeFollowsTheOtherInAProcessOfItsOwn) {
    start([](const Channel& channel) { return channel.send(as_byte_view("I live")); });

    const auto first_line = begin();
    const auto first = next<lives::LifeBegun>();
    const auto first_end = next<lives::LifeEnded>();
    const auto second_line = begin();
    const auto second = next<lives::LifeBegun>();
    next<lives::LifeEnded>();

    EXPECT_EQ(as_text(first_line.receive().value().data), "I live");
    EXPECT_EQ(as_text(second_line.receive().value().data), "I live");
    EXPECT_NE(first.vmm_pid, second.vmm_pid);
    EXPECT_EQ(first_end.by_signal, 0U);
    EXPECT_EQ(first_end.value, 0U);
}

TEST_F(LivesTest, HowALifeEndedIsTold) {
    start([](const Channel& channel) -> Result<void> {
        const auto order = channel.receive();
        if (order && as_text(order->data) == "fail") return fail(ErrorCode::Internal, "as told");
        ::raise(SIGKILL);
        return {};
    });

    ASSERT_TRUE(begin().send(as_byte_view("fail")));
    next<lives::LifeBegun>();
    const auto failed = next<lives::LifeEnded>();
    ASSERT_TRUE(begin().send(as_byte_view("crash")));
    next<lives::LifeBegun>();
    const auto crashed = next<lives::LifeEnded>();

    EXPECT_EQ(failed.by_signal, 0U);
    EXPECT_EQ(failed.value, 1U);
    EXPECT_EQ(crashed.by_signal, 1U);
    EXPECT_EQ(crashed.value, static_cast<uint32_t>(SIGKILL));
}

TEST_F(LivesTest, NoLifeOutlivesTheShim) {
    start([](const Channel&) -> Result<void> {
        while (true)
            ::pause();
    });
    const auto line = begin();
    next<lives::LifeBegun>();

    parent = Channel();
    int status = 0;
    ::waitpid(std::exchange(parent_pid, 0), &status, 0);

    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    EXPECT_EQ(line.receive_within(kPatience).error().code(), ErrorCode::ConnectionLost);
}

TEST_F(LivesTest, ALifeWithoutALineIsNotBegun) {
    start([](const Channel&) { return Result<void>(); });

    ASSERT_TRUE(parent.send(api::encode(lives::BeginLife{})));

    EXPECT_EQ(parent.receive_within(kPatience).error().code(), ErrorCode::ConnectionLost);
}

}  // namespace
}  // namespace alcove::vmm

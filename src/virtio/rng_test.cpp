// SPDX-License-Identifier: Apache-2.0
#include "virtio/rng.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "virtio/driver_fake.hpp"

namespace alcove::virtio {
namespace {

class RngTest : public testing::Test {
  protected:
    RngTest() { driver_.start(); }

    FakeMachine machine_;
    RngDevice device_{machine_.loop()};
    FakeDriver driver_{machine_, device_};
};

TEST_F(RngTest, BuffersAreFilledWithDifferentBytes) {
    auto& queue = driver_.queue(0);
    queue.add({}, {5000, 100});
    queue.add({}, {5100});
    driver_.notify(0);
    machine_.run();

    const auto first = queue.take_used();
    const auto second = queue.take_used();
    ASSERT_TRUE(first && second);
    EXPECT_EQ(first->length, 5100U);
    EXPECT_NE(queue.written(*first), queue.written(*second));
    const Bytes bytes = queue.written(*first);
    EXPECT_LT(std::ranges::count(bytes, 0), 100) << "about one in 256 bytes is zero";
    EXPECT_EQ(machine_.line().count(), 1U) << "one interrupt for both";
}

TEST_F(RngTest, ARequestIsCutAtItsLimit) {
    auto& queue = driver_.queue(0);
    queue.add({}, {RngDevice::kMaxRequest + 1000});
    driver_.notify(0);
    machine_.run();

    EXPECT_EQ(queue.take_used()->length, RngDevice::kMaxRequest);
}

TEST_F(RngTest, AChainWithoutRoomComesBackEmpty) {
    auto& queue = driver_.queue(0);
    queue.add(as_byte_view("readable only"), {});
    driver_.notify(0);
    machine_.run();

    EXPECT_EQ(queue.take_used()->length, 0U);
}

TEST_F(RngTest, AGreedyGuestWaitsForItsAllowance) {
    auto& queue = driver_.queue(0);
    constexpr uint16_t kRequests = RngDevice::kBurst / RngDevice::kMaxRequest + 1;
    for (int i = 0; i < kRequests; ++i)
        queue.add({}, {RngDevice::kMaxRequest});

    driver_.notify(0);
    machine_.run();
    EXPECT_EQ(queue.used_index(), kRequests - 1);

    EXPECT_TRUE(machine_.run_until([&] { return queue.used_index() == kRequests; }));
}

TEST_F(RngTest, ResetWhileRequestsWaitIsClean) {
    auto& queue = driver_.queue(0);
    for (int i = 0; i < 6; ++i)
        queue.add({}, {RngDevice::kMaxRequest});
    driver_.notify(0);
    machine_.run();
    const uint16_t before = queue.used_index();

    driver_.reset();
    EXPECT_FALSE(
        machine_.run_until([&] { return queue.used_index() != before; }, std::chrono::milliseconds(200)));
}

}  // namespace
}  // namespace alcove::virtio

// SPDX-License-Identifier: Apache-2.0
#include "nsm/device.hpp"

#include <gtest/gtest.h>

#include "codec/cbor_writer.hpp"
#include "nsm/fake_attestor.hpp"
#include "nsm/request_bytes_test.hpp"
#include "nsm/response.hpp"
#include "virtio/driver_fake.hpp"

namespace alcove::nsm {
namespace {

using virtio::FakeDriver;
using virtio::FakeMachine;
using virtio::FakeQueue;

constexpr uint32_t kLinuxBuffer = 0x3000;

class NsmDeviceTest : public testing::Test {
  protected:
    NsmDeviceTest() { driver.start(); }

    FakeQueue& queue() { return driver.queue(0); }
    uint16_t add(ByteView readable, const std::vector<uint32_t>& writable) {
        return queue().add(readable, writable).value();
    }
    void kick() {
        driver.notify(0);
        machine.run();
    }

    FakeMachine machine;
    FakeAttestor attestor;
    NsmDevice device{attestor};
    FakeDriver driver{machine, device};
    const Bytes random = bare("GetRandom");
    const Bytes describe = bare("DescribeNSM");
    const Bytes description = response::describe_nsm("i-fake-enc0", 32, 0xffff);
};

TEST_F(NsmDeviceTest, IsDevice33WithOneQueueAndNoFeatures) {
    EXPECT_EQ(device.device_id(), 33U);
    EXPECT_EQ(device.queue_sizes().size(), 1U);
    EXPECT_EQ(device.features(), 0U);
    EXPECT_TRUE(device.config().empty());
}

// nitro.md 4.1: as Linux does it. Request back with 0, then the answer, both before the one interrupt.
TEST_F(NsmDeviceTest, AnswersInTwoChainsInOrder) {
    const auto request = add(describe, {});
    const auto buffer = add({}, {kLinuxBuffer});
    kick();

    const auto first = queue().take_used();
    const auto second = queue().take_used();
    ASSERT_TRUE(first && second);
    EXPECT_EQ(first->head, request);
    EXPECT_EQ(first->length, 0U);
    EXPECT_EQ(second->head, buffer);
    EXPECT_EQ(queue().written(*second), description);
    EXPECT_EQ(machine.line().count(), 1U);
}

TEST_F(NsmDeviceTest, ShowsBothChainsAtOnceAndNeitherBeforeTheAnswer) {
    attestor.at_once = false;
    add(describe, {});
    add({}, {kLinuxBuffer});
    kick();
    EXPECT_EQ(queue().used_index(), 0U);
    EXPECT_EQ(machine.line().count(), 0U);

    ASSERT_TRUE(attestor.deliver());

    EXPECT_EQ(queue().used_index(), 2U);
    EXPECT_EQ(machine.line().count(), 1U);
}

TEST_F(NsmDeviceTest, BuffersMayComeFirst) {
    const auto buffer = add({}, {kLinuxBuffer});
    kick();
    const auto request = add(describe, {});
    kick();

    EXPECT_EQ(queue().take_used()->head, request);
    const auto answer = queue().take_used();
    EXPECT_EQ(answer->head, buffer);
    EXPECT_EQ(queue().written(*answer), description);
}

TEST_F(NsmDeviceTest, BothMayBeOneChainAndInPieces) {
    add(describe, {5, 7, 4096});
    kick();

    const auto answer = queue().take_used();
    ASSERT_TRUE(answer);
    EXPECT_EQ(queue().written(*answer), description);
    EXPECT_FALSE(queue().take_used());
}

TEST_F(NsmDeviceTest, RequestsAreAnsweredOneAfterTheOther) {
    attestor.at_once = false;
    for (int i = 0; i < 3; ++i)
        add(describe, {kLinuxBuffer});
    kick();

    EXPECT_EQ(attestor.waiting(), 1U);
    ASSERT_TRUE(attestor.deliver());
    EXPECT_EQ(attestor.waiting(), 1U);
    EXPECT_EQ(queue().used_index(), 1U);
    ASSERT_TRUE(attestor.deliver());
    ASSERT_TRUE(attestor.deliver());
    EXPECT_EQ(queue().used_index(), 3U);
    EXPECT_EQ(attestor.asked, 3U);
}

TEST_F(NsmDeviceTest, ManyRequestsThatNeedNoAttestorAreAnsweredInOneGo) {
    for (int i = 0; i < NsmDevice::kQueueSize / 2; ++i) {
        add(random, {});
        add({}, {kLinuxBuffer});
    }
    kick();

    EXPECT_EQ(queue().used_index(), NsmDevice::kQueueSize);
}

TEST_F(NsmDeviceTest, ASmallBufferGetsAnErrorOrNothing) {
    const auto too_small = response::error(NsmStatus::BufferTooSmall);
    add(random, {static_cast<uint32_t>(too_small.size())});
    add(random, {static_cast<uint32_t>(too_small.size() - 1)});
    kick();

    EXPECT_EQ(queue().written(*queue().take_used()), too_small);
    EXPECT_EQ(queue().take_used()->length, 0U);
}

TEST_F(NsmDeviceTest, ALargeRequestIsAnErrorHoweverLarge) {
    add(Bytes(4097, 0), {kLinuxBuffer});
    add(Bytes(1 << 20, 0), {kLinuxBuffer});
    kick();

    EXPECT_EQ(queue().written(*queue().take_used()), response::error(NsmStatus::InputTooLarge));
    EXPECT_EQ(queue().written(*queue().take_used()), response::error(NsmStatus::InputTooLarge));
}

TEST_F(NsmDeviceTest, ARequestAloneWaitsForItsBuffer) {
    add(describe, {});
    kick();
    EXPECT_EQ(queue().used_index(), 0U);
    EXPECT_EQ(attestor.asked, 0U);

    add({}, {kLinuxBuffer});
    kick();

    EXPECT_EQ(queue().used_index(), 2U);
}

TEST_F(NsmDeviceTest, ResetDropsWhatIsInFlight) {
    attestor.at_once = false;
    add(describe, {kLinuxBuffer});
    add(describe, {kLinuxBuffer});
    kick();

    driver.reset();
    driver.start();
    add(describe, {kLinuxBuffer});
    kick();
    ASSERT_TRUE(attestor.deliver());  // of before the reset
    EXPECT_EQ(queue().used_index(), 0U);
    ASSERT_TRUE(attestor.deliver());

    EXPECT_EQ(queue().used_index(), 1U);
    EXPECT_EQ(queue().written(*queue().take_used()), description);
}

TEST_F(NsmDeviceTest, AnAttestorThatIsGoneDoesNotStopTheDevice) {
    attestor.failure = Error(ErrorCode::ConnectionLost, "gone");
    add(describe, {kLinuxBuffer});
    add(random, {kLinuxBuffer});
    kick();

    EXPECT_EQ(queue().written(*queue().take_used()), response::error(NsmStatus::InternalError));
    EXPECT_GT(queue().take_used()->length, 256U);
}

TEST_F(NsmDeviceTest, ABrokenRingNeedsResetAndNothingElseHappens) {
    queue().set_available_index(1000);
    driver.notify(0);
    machine.run();

    EXPECT_NE(driver.read(virtio::mmio::Status) & virtio::status::DEVICE_NEEDS_RESET, 0U);
}

}  // namespace
}  // namespace alcove::nsm

// SPDX-License-Identifier: Apache-2.0
#include "vmm/epc_balloon.hpp"

#include <gtest/gtest.h>

#include "sgx/engine.hpp"
#include "support/bits.hpp"
#include "virtio/driver_fake.hpp"

namespace alcove::vmm {
namespace {

namespace port = virtio::port;

// The program in the guest, and its kernel's driver.
class EpcBalloonDevice : public testing::Test {
  protected:
    EpcBalloonDevice() {
        driver_.start(virtio::FakeDriver::kUsualFeatures | port::feature::MULTIPORT);
        for (int i = 0; i < 16; ++i)
            driver_.queue(port::kReceiveQueue).add({}, {4096});
        driver_.notify(port::kReceiveQueue);
        machine_.run();
    }
    void send(uint16_t queue, ByteView bytes) {
        driver_.queue(queue).add(bytes, {});
        driver_.notify(queue);
        machine_.run();
    }
    void open(bool is_open) {
        const port::Control control{
            .id = 0, .event = port::PORT_OPEN, .value = static_cast<uint16_t>(is_open ? 1 : 0)};
        send(port::kControlTransmitQueue, object_bytes(control));
    }
    void say(uint64_t bytes, uint16_t version = 1, uint16_t kind = BalloonMessage::kHeld) {
        const BalloonMessage message{.version = version, .kind = kind, .reserved = 0, .bytes = bytes};
        send(port::kTransmitQueue, object_bytes(message));
    }
    // The last message to the guest, or nothing.
    std::optional<uint64_t> asked_for() {
        std::optional<uint64_t> bytes;
        auto& queue = driver_.queue(port::kReceiveQueue);
        while (const auto used = queue.take_used()) {
            const auto message = read_object<BalloonMessage>(queue.written(*used)).value();
            EXPECT_EQ(message.version, 1U);
            EXPECT_EQ(message.kind, BalloonMessage::kHold);
            bytes = message.bytes;
        }
        return bytes;
    }

    virtio::FakeMachine machine_;
    EpcBalloon balloon_{machine_.loop(), 0};
    virtio::FakeDriver driver_{machine_, balloon_.device()};
};

TEST_F(EpcBalloonDevice, WhoOpensItHearsWhatIsWantedAndEachChange) {
    balloon_.set_target(7_MiB);
    EXPECT_EQ(asked_for(), std::nullopt);
    open(true);
    EXPECT_EQ(asked_for(), 8_MiB) << "an eighth is kept of it elsewhere";
    balloon_.set_target(0);
    EXPECT_EQ(asked_for(), 0U);
    EXPECT_EQ(balloon_.target(), 0U);
}

TEST_F(EpcBalloonDevice, WhatIsAskedForIsEnough) {
    for (const uint64_t target : {1_MiB, 3_MiB, 7_MiB, 100_MiB}) {
        const auto units = static_cast<uint32_t>(EpcBalloon::demand(target) / (2 * sgx::kPageSize));
        EXPECT_GE((sgx::IdlePages{.secs = units, .version_arrays = units}.bytes()), target);
        EXPECT_LT((sgx::IdlePages{.secs = units - 1, .version_arrays = units - 1}.bytes()), target);
    }
}

TEST_F(EpcBalloonDevice, ItsWordIsKeptWhileItIsThere) {
    open(true);
    say(3_MiB);
    EXPECT_EQ(balloon_.reported(), 3_MiB);
    open(false);
    EXPECT_EQ(balloon_.reported(), 0U);
}

TEST_F(EpcBalloonDevice, MessagesComeInPiecesOrTogether) {
    open(true);
    const BalloonMessage one{.version = 1, .kind = BalloonMessage::kHeld, .reserved = 0, .bytes = 4_MiB};
    const auto bytes = object_bytes(one);
    send(port::kTransmitQueue, bytes.first(5));
    send(port::kTransmitQueue, bytes.subspan(5, 9));
    EXPECT_EQ(balloon_.reported(), 0U);
    Bytes rest = to_bytes(bytes.subspan(14));
    const BalloonMessage two{.version = 1, .kind = BalloonMessage::kHeld, .reserved = 0, .bytes = 5_MiB};
    const auto more = object_bytes(two);
    rest.insert(rest.end(), more.begin(), more.end());
    send(port::kTransmitQueue, rest);
    EXPECT_EQ(balloon_.reported(), 5_MiB);
}

TEST_F(EpcBalloonDevice, WhatIsNotUnderstoodIsPassedOver) {
    open(true);
    say(3_MiB);
    say(9_MiB, 2);
    say(9_MiB, 1, 77);
    EXPECT_EQ(balloon_.reported(), 3_MiB);
    open(false);
    open(true);
    send(port::kTransmitQueue, as_byte_view("7 bytes"));
    open(false);
    open(true);
    say(1_MiB);
    EXPECT_EQ(balloon_.reported(), 1_MiB) << "what another one began is not part of it";
}

}  // namespace
}  // namespace alcove::vmm

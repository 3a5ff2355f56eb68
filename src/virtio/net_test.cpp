// SPDX-License-Identifier: Apache-2.0
#include "virtio/net.hpp"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"
#include "virtio/driver_fake.hpp"
#include "virtio/tap_link.hpp"

namespace alcove::virtio {
namespace {

using net::kReceiveQueue;
using net::kTransmitQueue;
using net::PacketHeader;

// A socket that keeps messages apart stands for the tap interface: one call, one frame.
class NetDeviceTest : public testing::Test {
  protected:
    NetDeviceTest() {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        link_ = TapLink::create(machine_.loop(), std::move(pair.first)).value();
        far_ = std::move(pair.second);
        EXPECT_TRUE(sys::set_non_blocking(far_, true));
        device_.emplace(machine_.loop(), *link_, NetDevice::Settings{.mac = {2, 0, 0, 0, 0, 1}, .mtu = 1400});
        driver_.emplace(machine_, *device_);
    }
    static Bytes with_header(const Bytes& frame, const PacketHeader& header = {}) {
        Bytes bytes = to_bytes(object_bytes(header));
        bytes.insert(bytes.end(), frame.begin(), frame.end());
        return bytes;
    }
    void add_buffers(int count, uint32_t size = 1526) {
        for (int i = 0; i < count; ++i)
            driver_->queue(kReceiveQueue).add({}, {size});
        driver_->notify(kReceiveQueue);
        machine_.run();
    }
    void transmit(const Bytes& bytes) {
        driver_->queue(kTransmitQueue).add(bytes, {});
        driver_->notify(kTransmitQueue);
        machine_.run();
    }
    std::optional<Bytes> take_far() {
        Bytes frame(NetworkLink::kMaxFrame);
        const auto got = sys::read_some(far_, frame).value();
        if (got.would_block) return std::nullopt;
        frame.resize(got.bytes);
        return frame;
    }
    std::optional<Bytes> take_received() {
        const auto used = driver_->queue(kReceiveQueue).take_used();
        if (!used) return std::nullopt;
        return driver_->queue(kReceiveQueue).written(*used);
    }

    FakeMachine machine_;
    std::unique_ptr<TapLink> link_;
    Fd far_;
    std::optional<NetDevice> device_;
    std::optional<FakeDriver> driver_;
};

TEST_F(NetDeviceTest, ConfigurationHasAddressStatusAndMtu) {
    const auto config = *read_object<net::Config>(device_->config());

    EXPECT_EQ(config.mac[0], 2);
    EXPECT_EQ(config.mac[5], 1);
    EXPECT_EQ(config.status, net::S_LINK_UP);
    EXPECT_EQ(config.mtu, 1400);
}

TEST_F(NetDeviceTest, FramesGoBothWays) {
    driver_->start();
    add_buffers(2);
    transmit(with_header(Bytes(60, 1)));
    EXPECT_EQ(take_far(), Bytes(60, 1));
    EXPECT_TRUE(driver_->queue(kTransmitQueue).take_used());

    ASSERT_TRUE(sys::write_all(far_, Bytes(1514, 2)));
    machine_.run();
    EXPECT_EQ(take_received(), with_header(Bytes(1514, 2), {.num_buffers = 1}));
    EXPECT_EQ(device_->counters().received, 1U);
    EXPECT_EQ(device_->counters().sent, 1U);
    EXPECT_GT(machine_.line().count(), 0U);
}

TEST_F(NetDeviceTest, WhatIsNoFrameIsDropped) {
    driver_->start();
    transmit(Bytes(5, 0));
    transmit(with_header(Bytes(13, 1)));
    transmit(with_header(Bytes(60, 1), {.flags = 1}));
    transmit(with_header(Bytes(60, 1), {.gso_type = 1}));
    transmit(with_header(Bytes(NetworkLink::kMaxFrame + 1, 1)));

    EXPECT_EQ(take_far(), std::nullopt);
    EXPECT_EQ(device_->counters().send_dropped, 5U);
    EXPECT_EQ(driver_->queue(kTransmitQueue).used_index(), 5U) << "and given back";
}

TEST_F(NetDeviceTest, FramesWaitForBuffers) {
    driver_->start();
    for (uint8_t i = 0; i < 3; ++i)
        ASSERT_TRUE(sys::write_all(far_, Bytes(60, i)));
    machine_.run();

    add_buffers(2);
    EXPECT_EQ(take_received(), with_header(Bytes(60, 0), {.num_buffers = 1}));
    EXPECT_EQ(take_received(), with_header(Bytes(60, 1), {.num_buffers = 1}));
    EXPECT_EQ(take_received(), std::nullopt);
    add_buffers(1);
    EXPECT_EQ(take_received(), with_header(Bytes(60, 2), {.num_buffers = 1}));
}

TEST_F(NetDeviceTest, AFrameLongerThanItsBufferIsDropped) {
    driver_->start();
    add_buffers(1, 72);
    ASSERT_TRUE(sys::write_all(far_, Bytes(61, 1)));
    ASSERT_TRUE(sys::write_all(far_, Bytes(60, 2)));
    machine_.run();

    EXPECT_EQ(take_received(), with_header(Bytes(60, 2), {.num_buffers = 1}));
    EXPECT_EQ(device_->counters().receive_dropped, 1U);
}

TEST_F(NetDeviceTest, ALinkWithoutRoomLeavesFramesInTheRing) {
    driver_->start();
    auto& queue = driver_->queue(kTransmitQueue);
    uint16_t added = 0;
    while (queue.used_index() == added && added < 1000) {
        if (!queue.add(with_header(Bytes(1500, 3)), {})) break;
        ++added;
        driver_->notify(kTransmitQueue);
        machine_.run();
        while (queue.take_used()) {
        }
    }
    ASSERT_LT(queue.used_index(), added) << "the socket is full";

    EXPECT_TRUE(machine_.run_until([&] {
        while (take_far()) {
        }
        return queue.used_index() == added;
    }));
    EXPECT_EQ(device_->counters().sent, added);
}

TEST_F(NetDeviceTest, MoreFramesThanATurnAllGoOut) {
    driver_->start(FakeDriver::kUsualFeatures, {256, 256});
    auto& queue = driver_->queue(kTransmitQueue);
    // What a socket holds at least is less than a ring: the far side reads in between.
    for (int i = 0; i < 256; ++i)
        ASSERT_TRUE(queue.add(with_header(Bytes(60, static_cast<uint8_t>(i))), {}));
    driver_->notify(kTransmitQueue);
    int got = 0;
    EXPECT_TRUE(machine_.run_until([&] {
        while (const auto frame = take_far())
            EXPECT_EQ(frame->at(0), got++);
        return got == 256;
    }));
}

TEST_F(NetDeviceTest, ALostLinkIsTold) {
    driver_->start(FakeDriver::kUsualFeatures | net::feature::STATUS | net::feature::MAC);
    add_buffers(1);
    far_.reset();
    machine_.run();
    EXPECT_FALSE(link_->is_up());
    EXPECT_TRUE(driver_->read(mmio::InterruptStatus) & mmio::INT_CONFIG);
    EXPECT_EQ(driver_->read(mmio::Config + 4) >> 16, 0U);
    transmit(with_header(Bytes(60, 1)));
    EXPECT_TRUE(driver_->queue(kTransmitQueue).take_used()) << "lost, and given back";
}

TEST_F(NetDeviceTest, ABrokenRingEndsServiceUntilReset) {
    driver_->start();
    driver_->queue(kReceiveQueue).set_available_index(1000);
    ASSERT_TRUE(sys::write_all(far_, Bytes(60, 1)));
    machine_.run();
    EXPECT_TRUE(driver_->read(mmio::Status) & status::DEVICE_NEEDS_RESET);

    driver_->start();
    add_buffers(1);
    ASSERT_TRUE(sys::write_all(far_, Bytes(60, 2)));
    machine_.run();
    EXPECT_EQ(take_received(), with_header(Bytes(60, 2), {.num_buffers = 1}));
}

}  // namespace
}  // namespace alcove::virtio

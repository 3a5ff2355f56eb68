// SPDX-License-Identifier: Apache-2.0
#include "vsock/device.hpp"

#include <gtest/gtest.h>

#include "support/system.hpp"
#include "vsock/guest_fake.hpp"

namespace alcove::vsock {
namespace {

namespace mmio = virtio::mmio;
namespace status = virtio::status;

constexpr Port kGuestPort{1234};
constexpr Port kHostPort{5000};

class VsockDeviceTest : public testing::Test {
  protected:
    std::vector<Packet> answers_to(const Header& header, ByteView payload = {}) {
        EXPECT_TRUE(vsock_.guest.send(header, payload));
        vsock_.machine.run();
        return vsock_.guest.receive();
    }
    uint32_t status() { return vsock_.guest.driver().read(mmio::Status); }
    uint16_t transmitted() { return vsock_.guest.driver().queue(queue_index::kTx).used_index(); }
    uint64_t interrupts() { return vsock_.machine.line().count(); }

    FakeVsock vsock_;
};

TEST_F(VsockDeviceTest, TheConfigurationIsTheContextId) {
    EXPECT_EQ(vsock_.guest.driver().read(mmio::DeviceID), 19U);
    EXPECT_EQ(vsock_.guest.driver().read(mmio::Config), 16U);
    EXPECT_EQ(vsock_.guest.driver().read(mmio::Config + 4), 0U);
}

TEST_F(VsockDeviceTest, AnUnknownDestinationIsAnsweredWithRst) {
    const auto request = FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort, Cid{77});

    const auto answers = answers_to(request);

    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].op(), Op::RST);
    EXPECT_EQ(answers[0].header.src_cid, 77U);
    EXPECT_EQ(answers[0].header.dst_cid, number(FakeGuest::kCid));
    EXPECT_EQ(answers[0].header.src_port, number(kHostPort));
    EXPECT_EQ(answers[0].header.dst_port, number(kGuestPort));
    EXPECT_TRUE(vsock_.opener.ports.empty());
}

TEST_F(VsockDeviceTest, AnUnknownTypeIsAnsweredWithRst) {
    auto request = FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort);
    request.type = 2;

    const auto answers = answers_to(request);

    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].op(), Op::RST);
    EXPECT_EQ(answers[0].header.type, 2);
    EXPECT_TRUE(vsock_.opener.ports.empty());
}

TEST_F(VsockDeviceTest, AnRstIsNeverAnswered) {
    EXPECT_TRUE(answers_to(FakeGuest::header(Op::RST, kGuestPort, kHostPort, Cid{77})).empty());
    EXPECT_TRUE(answers_to(FakeGuest::header(Op::RST, kGuestPort, kHostPort)).empty());
}

TEST_F(VsockDeviceTest, AForgedSourceIsDropped) {
    auto request = FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort);
    request.src_cid = 17;

    EXPECT_TRUE(answers_to(request).empty());
    EXPECT_EQ(vsock_.device.counters().packets_misaddressed, 1U);
    EXPECT_TRUE(vsock_.opener.ports.empty());
}

TEST_F(VsockDeviceTest, APacketWithoutAWholeHeaderIsDropped) {
    auto& queue = vsock_.guest.driver().queue(queue_index::kTx);
    queue.add(Bytes(kHeaderSize - 1, 0xff), {});
    queue.add({}, {100});
    vsock_.guest.driver().notify(queue_index::kTx);
    vsock_.machine.run();

    EXPECT_EQ(transmitted(), 2U);
    EXPECT_EQ(vsock_.device.counters().packets_malformed, 2U);
    EXPECT_EQ(status() & status::DEVICE_NEEDS_RESET, 0U);
}

TEST_F(VsockDeviceTest, ALengthBeyondThePacketResetsItsStream) {
    ASSERT_EQ(answers_to(FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort)).at(0).op(), Op::RESPONSE);
    auto data = FakeGuest::header(Op::RW, kGuestPort, kHostPort);
    data.len = 11;

    const auto answers = answers_to(data, Bytes(10, 'x'));

    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].op(), Op::RST);
    EXPECT_EQ(vsock_.backend.connection_count(), 0U);
}

TEST_F(VsockDeviceTest, UnroutablePacketsAreAnsweredWithinALimit) {
    vsock_.guest.set_refill(false);
    auto& rx = vsock_.guest.driver().queue(queue_index::kRx);
    for (int i = 0; i < 1000; ++i) {
        ASSERT_TRUE(
            vsock_.guest.send(FakeGuest::header(Op::RW, Port{static_cast<uint32_t>(i)}, kHostPort, Cid{77})));
        vsock_.machine.run();
    }
    EXPECT_EQ(transmitted(), 1000U) << "drained although nothing can be received";
    EXPECT_EQ(rx.used_index(), 256U);
    EXPECT_EQ(vsock_.device.counters().replies_dropped, 1000U - 256 - 64);

    (void)vsock_.guest.receive();
    vsock_.guest.set_refill(true);
    vsock_.machine.run();
    EXPECT_EQ(vsock_.guest.receive().size(), 64U) << "those that waited come when there is room";
}

TEST_F(VsockDeviceTest, ReturnedTransmitBuffersAreShownAtOnceAndInterruptLate) {
    const uint64_t before = interrupts();
    vsock_.guest.send(FakeGuest::header(Op::RST, kGuestPort, kHostPort));
    vsock_.machine.run();

    EXPECT_EQ(transmitted(), 1U);
    EXPECT_EQ(interrupts(), before);
    EXPECT_TRUE(vsock_.machine.run_until([&] { return interrupts() == before + 1; }));
}

TEST_F(VsockDeviceTest, AQuarterOfTheTransmitQueueInterruptsAtOnce) {
    const uint64_t before = interrupts();
    for (int i = 0; i < 64; ++i)
        vsock_.guest.send(FakeGuest::header(Op::RST, kGuestPort, kHostPort));
    vsock_.machine.run();

    EXPECT_EQ(interrupts(), before + 1);
}

TEST_F(VsockDeviceTest, AReceivedPacketInterruptsForTransmittedOnesToo) {
    const uint64_t before = interrupts();
    ASSERT_EQ(answers_to(FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort)).size(), 1U);

    EXPECT_EQ(interrupts(), before + 1);
    EXPECT_FALSE(
        vsock_.machine.run_until([&] { return interrupts() > before + 1; }, std::chrono::milliseconds(30)));
}

TEST_F(VsockDeviceTest, PacketsAddedWhileTheDeviceWorksNeedNoKick) {
    for (int i = 0; i < 50; ++i)
        ASSERT_TRUE(vsock_.guest.send(FakeGuest::header(Op::RST, kGuestPort, kHostPort)));
    vsock_.machine.run();

    EXPECT_EQ(transmitted(), 50U);
    EXPECT_EQ(vsock_.guest.driver().transport().counters().notifications, vsock_.guest.kicks());
    EXPECT_LE(vsock_.guest.kicks(), 2U) << "one for the receive buffers, one for all packets";
}

TEST_F(VsockDeviceTest, ABrokenRingNeedsAResetAndDropsConnections) {
    ASSERT_EQ(answers_to(FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort)).size(), 1U);
    auto& queue = vsock_.guest.driver().queue(queue_index::kTx);
    queue.make_available(60'000);
    vsock_.guest.driver().notify(queue_index::kTx);
    vsock_.machine.run();

    EXPECT_TRUE(status() & status::DEVICE_NEEDS_RESET);
    EXPECT_EQ(vsock_.backend.connection_count(), 0U);

    vsock_.guest.start();
    EXPECT_EQ(answers_to(FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort)).at(0).op(), Op::RESPONSE);
}

TEST_F(VsockDeviceTest, AReceiveRingThatBreaksOutsideOfAKickNeedsAResetToo) {
    ASSERT_EQ(answers_to(FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort)).size(), 1U);
    auto& queue = vsock_.guest.driver().queue(queue_index::kRx);
    queue.set_available_index(static_cast<uint16_t>(queue.available_index() + 5000));

    ASSERT_TRUE(sys::write_all(vsock_.opener.programs[0], as_byte_view("data")));
    vsock_.machine.run();

    EXPECT_TRUE(status() & status::DEVICE_NEEDS_RESET);
    EXPECT_EQ(vsock_.backend.connection_count(), 0U);
}

TEST_F(VsockDeviceTest, ADriverWithoutEventIndexIsServed) {
    vsock_.guest.start(virtio::feature::VERSION_1);
    // FakeGuest goes by the event index, so that this guest rings by hand.
    vsock_.guest.driver().notify(queue_index::kRx);
    vsock_.guest.send(FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort));
    vsock_.guest.driver().notify(queue_index::kTx);
    vsock_.machine.run();

    EXPECT_EQ(vsock_.guest.receive().at(0).op(), Op::RESPONSE);
}

}  // namespace
}  // namespace alcove::vsock

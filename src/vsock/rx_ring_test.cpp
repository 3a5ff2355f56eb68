// SPDX-License-Identifier: Apache-2.0
#include "vsock/rx_ring.hpp"

#include <gtest/gtest.h>

#include "memory/guest_io.hpp"
#include "virtio/driver_fake.hpp"
#include "vsock/packet.hpp"

namespace alcove::vsock {
namespace {

using virtio::FakeQueue;

class RxRingTest : public testing::Test {
  protected:
    RxRingTest()
        : driver_(machine_, 128, virtio::FakeDriver::kUsualFeatures),
          ring_(virtio::Queue::create(machine_.memory(), driver_.layout(), virtio::FakeDriver::kUsualFeatures)
                    .value()) {}

    // Fills what was reserved with `byte`, as a read would.
    void fill(uint8_t byte) {
        for (const auto& slice : ring_.payload())
            machine_.memory()->copy_in(slice, Bytes(slice.size(), byte));
    }
    // The packets the driver finds: (len, bytes behind the header).
    std::vector<std::pair<uint32_t, Bytes>> packets() {
        std::vector<std::pair<uint32_t, Bytes>> result;
        (void)ring_.flush().value();
        while (const auto used = driver_.take_used()) {
            const Bytes bytes = driver_.written(*used);
            const auto header = read_object<Header>(bytes).value();
            result.emplace_back(header.len, Bytes(bytes.begin() + kHeaderSize, bytes.end()));
        }
        return result;
    }
    static Header header() { return make_header(Op::RW, Cid::Parent, Port{1}, Cid{16}, Port{2}); }

    virtio::FakeMachine machine_;
    FakeQueue driver_;
    RxRing ring_;
};

TEST_F(RxRingTest, AControlPacketIsItsHeader) {
    EXPECT_FALSE(ring_.put(header()).value()) << "no buffer";
    driver_.add({}, {4096});

    EXPECT_TRUE(ring_.put(header()).value());

    const auto got = packets();
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].first, 0U);
    EXPECT_TRUE(got[0].second.empty());
}

TEST_F(RxRingTest, OneReadIsSpreadOverBuffers) {
    for (int i = 0; i < 4; ++i)
        driver_.add({}, {144});

    EXPECT_EQ(ring_.reserve(350).value(), 350U);
    fill(7);
    ASSERT_TRUE(ring_.commit(header(), 250));

    const auto got = packets();
    ASSERT_EQ(got.size(), 3U);
    EXPECT_EQ(got[0].second, Bytes(100, 7));
    EXPECT_EQ(got[1].second, Bytes(100, 7));
    EXPECT_EQ(got[2].second, Bytes(50, 7));
    EXPECT_EQ(ring_.reserve(1000).value(), 100U) << "the fourth was put back";
    ASSERT_TRUE(ring_.commit(header(), 0));
    EXPECT_EQ(ring_.queue().in_flight(), 0);
}

TEST_F(RxRingTest, HeadersAndPayloadsMayLieInAnyPieces) {
    driver_.add({}, {10, 30, 8, 4});
    driver_.add({}, {44, 100});

    EXPECT_EQ(ring_.reserve(1000).value(), 8U + 100U);
    fill(9);
    ASSERT_TRUE(ring_.commit(header(), 108));

    const auto got = packets();
    ASSERT_EQ(got.size(), 2U);
    EXPECT_EQ(got[0].second, Bytes(8, 9));
    EXPECT_EQ(got[1].second, Bytes(100, 9));
}

TEST_F(RxRingTest, APacketIsNeverLargerThanAPayloadMayBe) {
    driver_.add({}, {200'000});

    EXPECT_EQ(ring_.reserve(200'000).value(), kMaxPayload);
}

TEST_F(RxRingTest, OneReservationFitsOneSystemCall) {
    driver_.add({}, std::vector<uint32_t>(50, 100));
    driver_.add({}, std::vector<uint32_t>(50, 100));

    const uint32_t room = ring_.reserve(1'000'000).value();

    EXPECT_EQ(ring_.payload().size(), memory::kMaxSlicesPerCall);
    fill(3);
    ASSERT_TRUE(ring_.commit(header(), room));
    const auto got = packets();
    ASSERT_EQ(got.size(), 2U);
    EXPECT_EQ(got[0].second, Bytes(4956, 3));
    EXPECT_EQ(got[0].first + got[1].first, room);
}

TEST_F(RxRingTest, ABufferWithoutRoomBreaksTheRing) {
    driver_.add({}, {kHeaderSize});
    EXPECT_FALSE(ring_.put(header()));
}

TEST_F(RxRingTest, AReadOnlyBufferBreaksTheRing) {
    driver_.add(Bytes(4096, 0), {});
    EXPECT_FALSE(ring_.reserve(100));
}

}  // namespace
}  // namespace alcove::vsock

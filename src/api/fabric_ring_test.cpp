// SPDX-License-Identifier: Apache-2.0
#include "api/fabric_ring.hpp"

#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "api/fabric_doorbell.hpp"
#include "support/endian.hpp"
#include "support/system.hpp"

namespace alcove::api {
namespace {

constexpr uint64_t kWritten = 64;
constexpr uint64_t kTaken = 128;
constexpr uint64_t kDataWanted = 192;
constexpr uint64_t kRoomWanted = 256;

Bytes payload_bytes(uint64_t seed, size_t count) {
    Bytes bytes(count);
    for (size_t i = 0; i < count; ++i)
        bytes[i] = static_cast<uint8_t>((seed + i) * 2654435761U >> 13);
    return bytes;
}

// True when the doorbell is to be rung.
bool send(FabricRing& ring, ByteView header, ByteView payload) {
    const auto space = ring.payload_space(static_cast<uint32_t>(payload.size()));
    std::copy_n(payload.begin(), space[0].size(), space[0].begin());
    std::copy_n(payload.begin() + static_cast<ptrdiff_t>(space[0].size()), space[1].size(), space[1].begin());
    return ring.send(header, static_cast<uint32_t>(payload.size()));
}

Bytes payload_of(const FabricRing& ring, const FabricRing::Record& record) {
    Bytes bytes;
    for (const auto part : ring.payload(record, 0, record.payload_bytes))
        bytes.insert(bytes.end(), part.begin(), part.end());
    return bytes;
}

struct FabricRingTest : testing::Test {
    FabricPair pair = make_fabric_pair().value();
    FabricRing a = FabricRing::open(pair.first.own_ring, pair.first.peer_ring).value();
    FabricRing b = FabricRing::open(pair.second.own_ring, pair.second.peer_ring).value();

    // A word that only a's owner can write.
    void lie(uint64_t offset, uint64_t value) {
        ASSERT_TRUE(sys::write_all_at(pair.first.own_ring, object_bytes(value), offset));
    }
    // The first slot of what a sends.
    void lie_about_size(uint32_t value) {
        const Le32 wire = value;
        ASSERT_TRUE(sys::write_all_at(pair.first.own_ring, object_bytes(wire), kFabricDataOffset));
    }
};

TEST_F(FabricRingTest, RecordsArriveWholeAndInOrder) {
    (void)send(a, as_byte_view("first"), payload_bytes(1, 100));
    (void)send(a, as_byte_view("second"), {});

    const auto first = b.front().value();
    EXPECT_EQ(as_text(ByteView(first.header).first(5)), "first");
    EXPECT_EQ(payload_of(b, first), payload_bytes(1, 100));
    (void)b.drop(first);
    const auto second = b.front().value();
    EXPECT_EQ(as_text(ByteView(second.header).first(6)), "second");
    EXPECT_EQ(second.payload_bytes, 0U);
    (void)b.drop(second);
    EXPECT_TRUE(b.is_empty());
}

TEST_F(FabricRingTest, PayloadsGoAroundTheEnd) {
    for (uint64_t i = 0; i < 100; ++i) {
        const auto sent = payload_bytes(i, 10'000 + i * 500);
        ASSERT_TRUE(a.has_room(static_cast<uint32_t>(sent.size())).value());
        (void)send(a, {}, sent);
        const auto record = b.front().value();
        ASSERT_EQ(payload_of(b, record), sent) << i;
        (void)b.drop(record);
    }
}

TEST_F(FabricRingTest, TheSizesAreSealedAndTheOtherEndsRingIsReadOnly) {
    EXPECT_FALSE(sys::truncate(pair.first.own_ring, 4096));
    EXPECT_FALSE(sys::truncate(pair.first.own_ring, 2 * kFabricRingBytes));
    EXPECT_FALSE(sys::write_all_at(pair.first.peer_ring, as_byte_view("x"), 0));
    EXPECT_EQ(
        ::mmap(nullptr, kFabricRingBytes, PROT_READ | PROT_WRITE, MAP_SHARED, pair.first.peer_ring.get(), 0),
        MAP_FAILED);
    EXPECT_EQ(::fcntl(pair.first.own_ring.get(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    EXPECT_EQ(sys::stat(pair.first.own_ring)->st_mode & 0777, 0600U);
}

TEST_F(FabricRingTest, APairThatNobodyUsesCostsAPageARing) {
    EXPECT_LE(sys::stat(pair.first.own_ring)->st_blocks * 512, 4096);
}

TEST_F(FabricRingTest, OtherFilesAreNoRings) {
    const auto file = sys::memfd("other").value();
    EXPECT_EQ(FabricRing::open(file, pair.first.peer_ring).error().code(), ErrorCode::InvalidArgument);
    ASSERT_TRUE(sys::truncate(file, kFabricRingBytes));
    EXPECT_EQ(FabricRing::open(file, pair.first.peer_ring).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(FabricRing::open(pair.first.own_ring, file).error().code(), ErrorCode::InvalidArgument);
}

TEST_F(FabricRingTest, TheDoorbellIsRungOnceForEachSleep) {
    ASSERT_TRUE(b.await_data());
    EXPECT_TRUE(send(a, {}, {}));
    EXPECT_FALSE(send(a, {}, {})) << "it is awake";
    EXPECT_FALSE(b.await_data()) << "something came before";
    (void)b.drop(b.front().value());
    (void)b.drop(b.front().value());
    ASSERT_TRUE(b.await_data());
    EXPECT_TRUE(send(a, {}, {}));
}

TEST_F(FabricRingTest, TheSenderIsWokenOnceThereIsRoomForTheLargest) {
    while (a.has_room(kFabricMaxPayload).value())
        (void)send(a, {}, Bytes(4096));
    ASSERT_TRUE(a.await_room().value());

    bool rung = false;
    for (int dropped = 0; !rung; ++dropped) {
        ASSERT_LT(dropped, 1000);
        ASSERT_FALSE(a.has_room(kFabricMaxPayload).value());
        rung = b.drop(b.front().value());
    }
    EXPECT_TRUE(a.has_room(kFabricMaxPayload).value());
    EXPECT_FALSE(a.await_room().value()) << "nothing to wait for";
}

TEST_F(FabricRingTest, EveryLieOfASenderIsFound) {
    for (const uint64_t written : {kFabricDataBytes + 1, uint64_t{1}, uint64_t{63}, ~uint64_t{0}}) {
        lie(kWritten, written);
        EXPECT_EQ(b.front().error().code(), ErrorCode::InvalidMessage) << written;
    }
    lie(kWritten, 128);
    for (const uint32_t size : {65U, 128U, kFabricMaxPayload, kFabricMaxPayload + 1, ~0U}) {
        lie_about_size(size);
        EXPECT_EQ(b.front().error().code(), ErrorCode::InvalidMessage) << size;
    }
    lie_about_size(64);
    EXPECT_TRUE(b.front());
}

TEST_F(FabricRingTest, EveryLieOfAReceiverIsFound) {
    for (const uint64_t taken : {uint64_t{1}, uint64_t{64}, ~uint64_t{0} - kFabricDataBytes}) {
        lie(kTaken, taken);
        EXPECT_EQ(b.has_room(0).error().code(), ErrorCode::InvalidMessage) << taken;
        EXPECT_EQ(b.await_room().error().code(), ErrorCode::InvalidMessage) << taken;
    }
}

TEST_F(FabricRingTest, WishesThatLieCostADoorbellAtMost) {
    for (const uint64_t wanted : {uint64_t{0}, uint64_t{63}, uint64_t{64}, ~uint64_t{0}}) {
        lie(kDataWanted, wanted);
        lie(kRoomWanted, wanted);
        (void)send(b, {}, payload_bytes(wanted, 64));
        (void)a.drop(a.front().value());
        EXPECT_TRUE(b.has_room(kFabricMaxPayload).value());
    }
}

TEST_F(FabricRingTest, TwoThreadsThatSleepAndWakeLoseNothing) {
    constexpr uint64_t kRecords = 5'000;
    const FabricDoorbell bell_a(std::move(pair.first.doorbell));
    const FabricDoorbell bell_b(std::move(pair.second.doorbell));
    const auto sleep_on = [](const FabricDoorbell& bell) {
        pollfd waited{.fd = bell.fd().get(), .events = POLLIN, .revents = 0};
        const bool rung = ::poll(&waited, 1, 30'000) == 1;
        ALCOVE_CHECK(rung && bell.silence(), "a sleeper is woken");
    };
    std::thread sender([&] {
        for (uint64_t i = 0; i < kRecords; ++i) {
            const auto bytes = payload_bytes(i, (i * 37) % 30'000);
            while (!a.has_room(static_cast<uint32_t>(bytes.size())).value())
                if (a.await_room().value()) sleep_on(bell_a);
            if (send(a, {}, bytes)) bell_a.ring();
        }
    });
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < kRecords; ++i) {
        while (b.is_empty())
            if (b.await_data()) sleep_on(bell_b);
        const auto record = b.front().value();
        if (payload_of(b, record) != payload_bytes(i, (i * 37) % 30'000)) ++wrong;
        if (b.drop(record)) bell_b.ring();
    }
    sender.join();
    EXPECT_EQ(wrong, 0U);
}

TEST(FabricDoorbell, TellsWhenTheOtherEndIsGoneAndNeverBlocks) {
    auto pair = make_fabric_pair().value();
    const FabricDoorbell mine(std::move(pair.first.doorbell));
    for (int i = 0; i < 100'000; ++i)
        mine.ring();
    const FabricDoorbell theirs(std::move(pair.second.doorbell));
    EXPECT_TRUE(theirs.silence());
    EXPECT_TRUE(mine.silence()) << "nothing to take";
    { const FabricDoorbell gone = FabricDoorbell(Fd(::dup(theirs.fd().get()))); }
    EXPECT_TRUE(mine.silence());
    ::shutdown(theirs.fd().get(), SHUT_RDWR);
    EXPECT_FALSE(mine.silence());
    mine.ring();
}

}  // namespace
}  // namespace alcove::api

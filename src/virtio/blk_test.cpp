// SPDX-License-Identifier: Apache-2.0
#include "virtio/blk.hpp"

#include <map>
#include <thread>

#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "support/system.hpp"
#include "virtio/driver_fake.hpp"

namespace alcove::virtio {
namespace {

using namespace blk;

constexpr uint64_t kDiskSectors = 2048;

class BlockDeviceTest : public testing::Test {
  protected:
    explicit BlockDeviceTest(BlockFile::Access access = BlockFile::Access::ReadWrite) {
        EXPECT_TRUE(sys::truncate(file_, kDiskSectors * kSectorSize));
        device_ = BlockDevice::create(machine_.loop(),
                                      BlockFile::create(sys::duplicate(file_.get()).value(), access).value(),
                                      "disk-1")
                      .value();
        driver_.emplace(machine_, *device_);
    }

    static Bytes request(uint32_t type, uint64_t sector, ByteView data = {}) {
        const RequestHeader header{.type = type, .reserved = 0, .sector = sector};
        Bytes bytes = to_bytes(object_bytes(header));
        bytes.insert(bytes.end(), data.begin(), data.end());
        return bytes;
    }
    static Bytes segments(std::vector<Segment> list) {
        Bytes bytes;
        for (const auto& segment : list) {
            const auto part = object_bytes(segment);
            bytes.insert(bytes.end(), part.begin(), part.end());
        }
        return bytes;
    }
    // What the device wrote for one request: data, then the status.
    Bytes run(ByteView readable, const std::vector<uint32_t>& writable) {
        auto& queue = driver_->queue(0);
        queue.add(readable, writable);
        driver_->notify(0);
        std::optional<FakeQueue::Used> used;
        EXPECT_TRUE(machine_.run_until([&] { return (used = queue.take_used()).has_value(); }));
        return used ? queue.written(*used) : Bytes{};
    }
    uint8_t status_of(ByteView readable) {
        const Bytes written = run(readable, {1});
        return written.empty() ? uint8_t{0xff} : written.back();
    }

    FakeMachine machine_;
    Fd file_ = sys::memfd("disk").value();
    std::unique_ptr<BlockDevice> device_;
    std::optional<FakeDriver> driver_;
};

TEST_F(BlockDeviceTest, ConfigurationDescribesTheDisk) {
    const auto config = *read_object<Config>(device_->config());

    EXPECT_EQ(config.capacity, kDiskSectors);
    EXPECT_EQ(config.seg_max, 254U);
    EXPECT_EQ(config.blk_size, 512U);
    EXPECT_EQ(driver_->device_features() & (blk::feature::FLUSH | blk::feature::RO | blk::feature::DISCARD),
              blk::feature::FLUSH | blk::feature::DISCARD);
}

TEST_F(BlockDeviceTest, WhatIsWrittenIsRead) {
    driver_->start();
    EXPECT_EQ(status_of(request(T_OUT, 5, Bytes(1024, 0x5a))), S_OK);

    const Bytes back = run(request(T_IN, 4, {}), {700, 836, 513});

    ASSERT_EQ(back.size(), 2049U);
    EXPECT_EQ(Bytes(back.begin(), back.begin() + 512), Bytes(512, 0));
    EXPECT_EQ(Bytes(back.begin() + 512, back.begin() + 1536), Bytes(1024, 0x5a));
    EXPECT_EQ(back.back(), S_OK);
    EXPECT_GT(machine_.line().count(), 0U);
}

TEST_F(BlockDeviceTest, BadRequestsGetAnErrorAndHarmNothing) {
    driver_->start();
    EXPECT_EQ(status_of(request(T_OUT, kDiskSectors, Bytes(512))), S_IOERR);
    EXPECT_EQ(status_of(request(T_OUT, ~uint64_t{0}, Bytes(512))), S_IOERR);
    EXPECT_EQ(status_of(request(T_OUT, 0, Bytes(511))), S_IOERR);
    EXPECT_EQ(run(request(T_IN, kDiskSectors - 1), {1024, 1}).back(), S_IOERR);
    EXPECT_EQ(status_of(Bytes(15, 0)), S_IOERR) << "half a header";
    EXPECT_EQ(status_of(request(77, 0)), S_UNSUPP);
    EXPECT_EQ(sys::file_size(file_).value(), kDiskSectors * kSectorSize);
    EXPECT_EQ(status_of(request(T_OUT, 0, Bytes(512))), S_OK);
    EXPECT_EQ(device_->counters().failures, 6U);
}

TEST_F(BlockDeviceTest, ARequestWithoutRoomForItsStatusNeedsAReset) {
    driver_->start();
    driver_->queue(0).add(request(T_OUT, 0, Bytes(512)), {});
    driver_->notify(0);
    machine_.run();

    EXPECT_TRUE(driver_->read(mmio::Status) & status::DEVICE_NEEDS_RESET);
    driver_->start();
    EXPECT_EQ(status_of(request(T_FLUSH, 0)), S_OK);
}

TEST_F(BlockDeviceTest, FlushAndIdentityAreAnswered) {
    driver_->start();
    EXPECT_EQ(status_of(request(T_FLUSH, 0)), S_OK);

    const Bytes id = run(request(T_GET_ID, 0), {20, 1});
    EXPECT_EQ(as_text(ByteView(id).first(7)), std::string_view("disk-1\0", 7));
    EXPECT_EQ(id.back(), S_OK);
    EXPECT_EQ(run(request(T_GET_ID, 0), {3}), (Bytes{'d', 'i', S_OK}));
}

// As carving takes memory away: on the loop, while workers may be anywhere in their system calls.
class FencedBlockTest : public BlockDeviceTest {
  protected:
    static constexpr uint32_t kLength = 64_KiB;
    static constexpr uint32_t kSectors = kLength / kSectorSize;
    static constexpr int kRequests = 8;  // more than there are workers

    memory::GuestAddress at(memory::GuestAddress base, uint64_t offset) { return *base.plus(offset); }
    void fill(memory::GuestAddress address, uint64_t length, uint8_t byte) {
        machine_.memory()->write_bytes(address, Bytes(length, byte)).value();
    }
    // One request after the other; their status bytes are at `status_`.
    void add(uint32_t type, uint64_t sector, memory::GuestAddress buffer, int number) {
        const auto header = at(headers_, 16U * static_cast<uint64_t>(number));
        machine_.memory()->write_bytes(header, request(type, sector)).value();
        machine_.memory()->write_bytes(at(status_, static_cast<uint64_t>(number)), Bytes(1, 0xff)).value();
        const bool reads = type == T_IN;
        driver_->queue(0).add(
            {{.address = header, .length = 16, .is_writable = false},
             {.address = buffer, .length = kLength, .is_writable = reads},
             {.address = at(status_, static_cast<uint64_t>(number)), .length = 1, .is_writable = true}});
    }
    // The requests are with the workers.
    void begin() {
        driver_->notify(0);
        machine_.loop().run_once(std::chrono::milliseconds(0)).value();
    }
    bool finish(int requests) {
        int done = 0;
        return machine_.run_until([&] {
            while (driver_->queue(0).take_used())
                ++done;
            return done == requests;
        });
    }

    memory::GuestAddress headers_ = machine_.allocate(4_KiB, 4_KiB);
    memory::GuestAddress status_ = at(headers_, 2_KiB);
};

TEST_F(FencedBlockTest, MemoryThatIsTakenAwayMeanwhileFailsRequestsAndNothingElse) {
    constexpr uint8_t kOnDisk = 0x11;
    constexpr uint8_t kAround = 0xee;
    ASSERT_TRUE(sys::write_all_at(file_, Bytes(kLength, kOnDisk), 0));
    // A page around each buffer is nobody's.
    const auto around = machine_.allocate(2 * kLength + 3 * 4_KiB, 4_KiB);
    const auto into = at(around, 4_KiB);
    const auto from = at(into, kLength + 4_KiB);
    fill(around, 2 * kLength + 3 * 4_KiB, kAround);
    const memory::GuestRange taken[] = {{at(into, 16_KiB), 32_KiB}, {at(from, 16_KiB), 32_KiB}};
    driver_->start();
    std::map<uint8_t, int> seen;
    uint8_t before = 0;  // on the second part of the disk
    for (int round = 0; round < 300; ++round) {
        const auto mark = static_cast<uint8_t>(1 + round % 200);
        fill(into, kLength, 0);
        fill(from, kLength, mark);
        for (int i = 0; i < kRequests; ++i)
            add(i % 2 == 0 ? T_IN : T_OUT, i % 2 == 0 ? 0 : kSectors, i % 2 == 0 ? into : from, i);

        begin();
        if (round % 8 == 0) ASSERT_TRUE(finish(kRequests));
        for (const auto& range : taken)
            ASSERT_TRUE(machine_.memory()->fence(range));
        std::this_thread::sleep_for(std::chrono::microseconds(round % 4 * 20));
        for (const auto& range : taken)
            ASSERT_TRUE(machine_.memory()->unfence(range));
        if (round % 8 != 0) ASSERT_TRUE(finish(kRequests));

        const Bytes status = machine_.bytes_at(status_, kRequests);
        bool read = false;
        bool written = false;
        for (int i = 0; i < kRequests; ++i) {
            const uint8_t one = status[static_cast<size_t>(i)];
            ASSERT_TRUE(one == S_OK || one == S_IOERR) << +one;
            ++seen[one];
            (i % 2 == 0 ? read : written) |= one == S_OK;
        }
        if (read) ASSERT_EQ(machine_.bytes_at(into, kLength), Bytes(kLength, kOnDisk));
        Bytes disk(kLength);
        sys::read_exact_at(file_, disk, kLength).value();
        if (written) ASSERT_EQ(disk, Bytes(kLength, mark));
        for (size_t at = 0; at < kLength; at += kSectorSize)
            ASSERT_TRUE(disk[at] == mark || disk[at] == before) << at;
        // What failed half-way is written whole before the next round looks for it.
        sys::write_all_at(file_, Bytes(kLength, mark), kLength).value();
        before = mark;
    }
    EXPECT_GT(seen[S_OK], 0);
    EXPECT_GT(seen[S_IOERR], 0);
    for (const auto guard : {around, at(into, kLength), at(from, kLength)})
        EXPECT_EQ(machine_.bytes_at(guard, 4_KiB), Bytes(4_KiB, kAround));
}

TEST_F(FencedBlockTest, ADeviceWhoseRingIsTakenAwayNeedsAResetAndWorksAfterIt) {
    const auto buffer = machine_.allocate(kLength, 4_KiB);
    for (int round = 0; round < 50; ++round) {
        driver_->start();
        const uint64_t ring = driver_->queue(0).layout().used_ring.value();
        const memory::GuestRange page{memory::GuestAddress(align_down<uint64_t>(ring, 4_KiB)), 4_KiB};
        for (int i = 0; i < kRequests; ++i)
            add(T_OUT, 0, buffer, i);
        begin();

        ASSERT_TRUE(machine_.memory()->fence(page));
        ASSERT_TRUE(machine_.run_until(
            [&] { return (driver_->read(mmio::Status) & status::DEVICE_NEEDS_RESET) != 0; }));
        ASSERT_TRUE(machine_.memory()->unfence(page));
    }
    driver_->start();
    EXPECT_EQ(status_of(request(T_FLUSH, 0)), S_OK);
}

TEST_F(BlockDeviceTest, DiscardAndWriteZeroesTakeSegments) {
    driver_->start(FakeDriver::kUsualFeatures | blk::feature::DISCARD | blk::feature::WRITE_ZEROES);
    ASSERT_TRUE(sys::write_all_at(file_, Bytes(16 * 512, 9), 0));
    EXPECT_EQ(status_of(request(T_WRITE_ZEROES, 0,
                                segments({{.sector = 1, .num_sectors = 1, .flags = 0},
                                          {.sector = 3, .num_sectors = 2, .flags = UNMAP}}))),
              S_OK);
    Bytes disk(6 * 512);
    ASSERT_TRUE(sys::read_exact_at(file_, disk, 0));
    for (size_t sector = 0; sector < 6; ++sector)
        EXPECT_EQ(disk[sector * 512 + 100], sector == 1 || sector == 3 || sector == 4 ? 0 : 9) << sector;

    const auto discard = [](uint64_t sector, uint32_t count, uint32_t flags) {
        return request(T_DISCARD, 0, segments({{.sector = sector, .num_sectors = count, .flags = flags}}));
    };
    EXPECT_EQ(status_of(discard(0, 16, 0)), S_OK);
    EXPECT_EQ(status_of(discard(0, 16, UNMAP)), S_UNSUPP) << "not for discard";
    EXPECT_EQ(status_of(discard(0, 16, 2)), S_UNSUPP);
    EXPECT_EQ(status_of(discard(kDiskSectors, 1, 0)), S_IOERR);
    EXPECT_EQ(status_of(discard(0, BlockDevice::kMaxDiscardSectors + 1, 0)), S_IOERR);
    EXPECT_EQ(status_of(request(T_DISCARD, 0, Bytes(15))), S_IOERR);
    EXPECT_EQ(status_of(request(T_DISCARD, 0)), S_IOERR);
    EXPECT_EQ(status_of(request(T_DISCARD, 0, Bytes(17 * 16))), S_IOERR);
}

TEST_F(BlockDeviceTest, ManyRequestsAtOnceAllComeBack) {
    driver_->start();
    auto& queue = driver_->queue(0);
    constexpr uint32_t kRequests = 80;
    for (uint32_t i = 0; i < kRequests; ++i)
        queue.add(request(T_OUT, i, Bytes(512, static_cast<uint8_t>(i))), {1});
    driver_->notify(0);
    EXPECT_TRUE(machine_.run_until([&] { return queue.used_index() == kRequests; }));

    Bytes disk(kRequests * 512);
    ASSERT_TRUE(sys::read_exact_at(file_, disk, 0));
    for (uint32_t i = 0; i < kRequests; ++i)
        EXPECT_EQ(disk[i * 512], i);
}

TEST_F(BlockDeviceTest, AfterDrainNothingTouchesGuestMemory) {
    driver_->start();
    auto& queue = driver_->queue(0);
    ASSERT_TRUE(sys::write_all_at(file_, Bytes(512 * 1024, 9), 0));
    for (int i = 0; i < 8; ++i)
        queue.add(request(T_IN, 0), {128 * 1024, 1});
    ASSERT_TRUE(device_->process_queue(0)) << "the requests are under way";

    device_->drain();
    for (int i = 0; i < 8; ++i)
        ASSERT_TRUE(
            machine_.memory()->fill_zero(queue.pieces(static_cast<uint16_t>(3 * i))[1].address, 128 * 1024));
    EXPECT_TRUE(machine_.run_until([&] { return queue.used_index() == 8; }));

    while (const auto used = queue.take_used()) {
        const Bytes data = queue.written(*used);
        EXPECT_EQ(data[0], 0) << "nobody wrote after drain() returned";
        EXPECT_EQ(data.back(), S_OK);
    }
}

TEST_F(BlockDeviceTest, ResetInTheMiddleForgetsRequests) {
    driver_->start();
    for (int i = 0; i < 20; ++i)
        driver_->queue(0).add(request(T_IN, 0), {64 * 1024, 1});
    ASSERT_TRUE(device_->process_queue(0));

    driver_->reset();
    machine_.run();
    driver_->start();

    EXPECT_EQ(driver_->queue(0).used_index(), 0);
    EXPECT_EQ(status_of(request(T_FLUSH, 0)), S_OK);
}

class ReadOnlyBlockDeviceTest : public BlockDeviceTest {
  protected:
    ReadOnlyBlockDeviceTest() : BlockDeviceTest(BlockFile::Access::ReadOnly) {}
};

TEST_F(ReadOnlyBlockDeviceTest, OffersAndTakesNoWrites) {
    EXPECT_EQ(driver_->device_features() & (blk::feature::RO | blk::feature::DISCARD), blk::feature::RO);
    driver_->start();
    EXPECT_EQ(status_of(request(T_OUT, 0, Bytes(512))), S_IOERR);
    EXPECT_EQ(status_of(request(T_DISCARD, 0, Bytes(16))), S_UNSUPP);
    EXPECT_EQ(run(request(T_IN, 0), {512, 1}).back(), S_OK);
}

}  // namespace
}  // namespace alcove::virtio

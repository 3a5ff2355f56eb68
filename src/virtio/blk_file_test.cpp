// SPDX-License-Identifier: Apache-2.0
#include "virtio/blk_file.hpp"

#include <cerrno>
#include <string>

#include <fcntl.h>

#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::virtio {
namespace {

using memory::GuestAddress;

class BlockFileTest : public testing::Test {
  protected:
    BlockFileTest() {
        EXPECT_TRUE(sys::truncate(file_, 8 * 512 + 100));
        disk_.emplace(
            BlockFile::create(sys::duplicate(file_.get()).value(), BlockFile::Access::ReadWrite).value());
    }
    std::vector<memory::GuestSlice> slices(std::vector<std::pair<uint64_t, uint64_t>> parts) {
        std::vector<memory::GuestSlice> made;
        for (const auto& [address, length] : parts)
            made.push_back(memory_->slice(GuestAddress(address), length).value());
        return made;
    }
    Bytes on_disk(uint64_t offset, size_t size) {
        Bytes bytes(size);
        EXPECT_TRUE(sys::read_exact_at(file_, bytes, offset));
        return bytes;
    }
    void fill(uint8_t value) { EXPECT_TRUE(sys::write_all_at(file_, Bytes(8 * 512, value), 0)); }

    Fd file_ = sys::memfd("disk").value();
    std::shared_ptr<memory::GuestMemory> memory_ =
        memory::GuestMemory::create_anonymous({.base = GuestAddress(0), .size = 64_KiB}).value();
    std::optional<BlockFile> disk_;
};

TEST_F(BlockFileTest, HasWholeSectorsOnly) {
    EXPECT_EQ(disk_->sectors(), 8U);
}

TEST_F(BlockFileTest, WritesAndReadsThroughScatteredMemory) {
    ASSERT_TRUE(memory_->write_bytes(GuestAddress(100), Bytes(300, 1)));
    ASSERT_TRUE(memory_->write_bytes(GuestAddress(5000), Bytes(212, 2)));
    ASSERT_TRUE(disk_->write(3, slices({{100, 300}, {5000, 212}})));
    EXPECT_EQ(on_disk(3 * 512, 300), Bytes(300, 1));
    EXPECT_EQ(on_disk(3 * 512 + 300, 212), Bytes(212, 2));

    ASSERT_TRUE(disk_->read(3, slices({{9000, 1}, {9100, 511}})));
    Bytes back(511);
    ASSERT_TRUE(memory_->read_bytes(GuestAddress(9100), back));
    EXPECT_EQ(back.front(), 1);
    EXPECT_EQ(back.back(), 2);
}

// A descriptor that can be looked at and nothing else: the kernel says no to whoever asks it to write back.
TEST_F(BlockFileTest, AFlushAsksTheKernel) {
    const std::string path = "/proc/self/fd/" + std::to_string(file_.get());
    const auto flush = [&](BlockFile::Access access) {
        return BlockFile::create(sys::open(path, O_PATH).value(), access).value().flush();
    };
    EXPECT_EQ(flush(BlockFile::Access::ReadWrite).error().errno_value(), EBADF);
    EXPECT_TRUE(flush(BlockFile::Access::ReadOnly)) << "nothing was written";
    EXPECT_TRUE(disk_->flush());
}

TEST_F(BlockFileTest, MoreSlicesThanOneCallTakes) {
    fill(7);
    std::vector<std::pair<uint64_t, uint64_t>> parts;
    for (uint64_t i = 0; i < 512; ++i)
        parts.emplace_back(i * 16, 8);
    ASSERT_TRUE(disk_->read(0, slices(parts)));

    EXPECT_EQ(memory_->read<uint8_t>(GuestAddress(511 * 16 + 7)).value(), 7);
    EXPECT_EQ(memory_->read<uint8_t>(GuestAddress(511 * 16 + 8)).value(), 0);
}

TEST_F(BlockFileTest, WhatIsNotOnTheDiskIsRefused) {
    for (const uint64_t sector : {uint64_t{8}, uint64_t{7}, ~uint64_t{0}, ~uint64_t{0} / 512})
        EXPECT_FALSE(disk_->read(sector, slices({{0, 1024}}))) << sector;
    EXPECT_FALSE(disk_->write(7, slices({{0, 1024}})));
    EXPECT_FALSE(disk_->write(0, slices({{0, 100}}))) << "no whole sector";
    EXPECT_FALSE(disk_->discard(7, 2));
    EXPECT_FALSE(disk_->write_zeroes(1, ~uint64_t{0}, BlockFile::Zeroing::MayUnmap));
    EXPECT_EQ(sys::file_size(file_).value(), 8 * 512U + 100) << "nothing grew";
}

TEST_F(BlockFileTest, ZeroesAreWrittenWhateverTheFileSystemOffers) {
    for (const auto how : {BlockFile::Zeroing::KeepSpace, BlockFile::Zeroing::MayUnmap}) {
        fill(9);
        ASSERT_TRUE(disk_->write_zeroes(1, 2, how));
        EXPECT_EQ(on_disk(0, 512), Bytes(512, 9));
        EXPECT_EQ(on_disk(512, 1024), Bytes(1024, 0));
        EXPECT_EQ(on_disk(3 * 512, 512), Bytes(512, 9));
    }
}

TEST_F(BlockFileTest, DiscardGivesSpaceBack) {
    ASSERT_TRUE(sys::truncate(file_, 1_MiB));
    ASSERT_TRUE(sys::write_all_at(file_, Bytes(1_MiB, 9), 0));
    const BlockFile disk =
        BlockFile::create(sys::duplicate(file_.get()).value(), BlockFile::Access::ReadWrite).value();
    const auto before = sys::stat(file_).value().st_blocks;

    ASSERT_TRUE(disk.discard(0, 2048));

    EXPECT_LT(sys::stat(file_).value().st_blocks, before);
    EXPECT_EQ(sys::file_size(file_).value(), 1_MiB);
}

TEST_F(BlockFileTest, AReadOnlyDiskTakesNothing) {
    const BlockFile disk =
        BlockFile::create(sys::duplicate(file_.get()).value(), BlockFile::Access::ReadOnly).value();

    EXPECT_FALSE(disk.write(0, slices({{0, 512}})));
    EXPECT_FALSE(disk.discard(0, 1));
    EXPECT_FALSE(disk.write_zeroes(0, 1, BlockFile::Zeroing::MayUnmap));
    EXPECT_TRUE(disk.flush());
    EXPECT_TRUE(disk.read(0, slices({{0, 512}})));
}

}  // namespace
}  // namespace alcove::virtio

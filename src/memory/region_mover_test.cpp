// SPDX-License-Identifier: Apache-2.0
#include "memory/region_mover.hpp"

#include <algorithm>
#include <atomic>
#include <thread>

#include <fcntl.h>
#include <linux/memfd.h>

#include <gtest/gtest.h>

#include "memory/memory_file_test.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"

namespace alcove::memory {
namespace {

constexpr uint64_t kRam = 4_MiB;
constexpr MoveSizes kSizes{.page = kPage, .chunk = 64_KiB};

Fd make_file(uint64_t size, unsigned flags = 0) {
    auto file = sys::memfd("test", flags).value();
    EXPECT_TRUE(sys::truncate(file, size));
    return file;
}

// The file takes no more than this from now on: a host whose memory is used up.
void limit(const Fd& file, uint64_t size) {
    ASSERT_TRUE(sys::truncate(file, size));
    ASSERT_EQ(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW), 0);
}

// No byte of it is zero, and no page is like another.
Bytes pattern(size_t size) {
    Bytes bytes(size);
    for (size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<uint8_t>(1 + (i * 31 + i / kPage * 7) % 255);
    return bytes;
}

struct RegionMoverTest : testing::Test {
    const Bytes data = pattern(kRam);
    Fd primary = make_file(kRam);
    Fd enclave = make_file(2 * kRam);
    MoveCounters counters;

    RegionMoverTest() { EXPECT_TRUE(sys::write_all_at(primary, data, 0)); }
    Bytes original(uint64_t offset, size_t length) const {
        const auto begin = data.begin() + static_cast<ptrdiff_t>(offset);
        return {begin, begin + static_cast<ptrdiff_t>(length)};
    }
};

TEST_F(RegionMoverTest, ARegionChangesItsOwner) {
    ASSERT_TRUE(move_region({primary, 1_MiB}, {enclave, 512_KiB}, 1_MiB, kSizes, counters));

    EXPECT_EQ(content(enclave, 512_KiB, 1_MiB), original(1_MiB, 1_MiB));
    EXPECT_EQ(content(primary, 1_MiB, 1_MiB), Bytes(1_MiB, 0));
    EXPECT_EQ(content(primary, 2_MiB, 2_MiB), original(2_MiB, 2_MiB));
    EXPECT_EQ(bytes_in_use(primary), kRam - 1_MiB);
    EXPECT_EQ(bytes_in_use(enclave), 1_MiB);
    EXPECT_EQ(counters.bytes_copied, 1_MiB);
    EXPECT_EQ(counters.bytes_cleared, 0U);
}

TEST_F(RegionMoverTest, WhatNobodyWroteIsNotCopied) {
    ASSERT_TRUE(release_pages({primary, 0}, 320_KiB));
    ASSERT_TRUE(reserve_pages({primary, 0}, 320_KiB));

    ASSERT_TRUE(move_region({primary, 0}, {enclave, 0}, 512_KiB, kSizes, counters));

    EXPECT_EQ(counters.bytes_copied, 192_KiB);
    EXPECT_EQ(counters.bytes_cleared, 320_KiB);
    EXPECT_EQ(content(enclave, 0, 320_KiB), Bytes(320_KiB, 0));
    EXPECT_EQ(content(enclave, 320_KiB, 192_KiB), original(320_KiB, 192_KiB));
    EXPECT_EQ(bytes_in_use(enclave), 512_KiB) << "but it is reserved";
}

TEST_F(RegionMoverTest, WithoutMemoryInTheMiddleEverythingIsAsItWas) {
    limit(enclave, 200_KiB);

    const auto moved = move_region({primary, 512_KiB}, {enclave, 0}, 512_KiB, kSizes, counters);

    ASSERT_FALSE(moved);
    EXPECT_EQ(content(primary, 0, kRam), data);
    EXPECT_EQ(bytes_in_use(primary), kRam);
    EXPECT_EQ(bytes_in_use(enclave), 0U);
    EXPECT_EQ(counters.bytes_copied, 2 * 192_KiB) << "there and back";
}

TEST_F(RegionMoverTest, WhatCanNotBeMovedBackIsLost) {
    limit(enclave, 200_KiB);
    // What leaves the primary's file finds no room there any more.
    limit(primary, 64_KiB);

    const auto moved = move_region({primary, 0}, {enclave, 0}, 512_KiB, kSizes, counters);

    ASSERT_FALSE(moved);
    EXPECT_EQ(moved.error().code(), ErrorCode::MemoryLost);
    EXPECT_EQ(content(enclave, 0, 64_KiB), original(0, 64_KiB)) << "what could not go back stays";
}

TEST_F(RegionMoverTest, WhatIsReturnedIsClearedOnceAndCostsNoCopies) {
    ASSERT_TRUE(move_region({primary, 1_MiB}, {enclave, 0}, 200_KiB, kSizes, counters));
    MoveCounters returned;

    ASSERT_TRUE(return_region({enclave, 0}, {primary, 1_MiB}, 200_KiB, kSizes, returned));

    EXPECT_EQ(content(primary, 1_MiB, 200_KiB), Bytes(200_KiB, 0));
    EXPECT_EQ(content(primary, 0, 1_MiB), original(0, 1_MiB));
    EXPECT_EQ(bytes_in_use(primary), kRam);
    EXPECT_EQ(bytes_in_use(enclave), 0U);
    EXPECT_EQ(returned.bytes_copied, 0U);
    EXPECT_EQ(returned.bytes_cleared, 200_KiB);
}

TEST_F(RegionMoverTest, ReturningWithoutMemoryReleasesWhatTheEnclaveHasAndCanBeAskedForAgain) {
    ASSERT_TRUE(move_region({primary, 2_MiB}, {enclave, 0}, 2_MiB, kSizes, counters));
    limit(primary, 3_MiB);

    for (int i = 0; i < 2; ++i) {
        EXPECT_FALSE(return_region({enclave, 0}, {primary, 2_MiB}, 2_MiB, kSizes, counters));
        EXPECT_EQ(bytes_in_use(enclave), 0U);
        EXPECT_EQ(bytes_in_use(primary), 3_MiB);
    }
}

TEST_F(RegionMoverTest, AGiverThatMakesHolesMeanwhileHarmsItselfOnly) {
    std::atomic<bool> done = false;
    std::thread giver([&] {
        for (uint64_t at = 0; !done; at = (at + 12_KiB) % kRam)
            EXPECT_TRUE(release_pages({primary, at}, kPage));
    });

    const auto moved = move_region({primary, 0}, {enclave, 0}, kRam, kSizes, counters);
    done = true;
    giver.join();

    ASSERT_TRUE(moved);
    EXPECT_EQ(bytes_in_use(enclave), kRam);
    EXPECT_EQ(bytes_in_use(primary), 0U);
    for (uint64_t at = 0; at < kRam; at += kPage) {
        const auto page = content(enclave, at, kPage);
        const auto was_or_zero = [](uint8_t now, uint8_t before) { return now == before || now == 0; };
        EXPECT_TRUE(std::ranges::equal(page, original(at, kPage), was_or_zero)) << at;
    }
}

struct HugeRegionMoverTest : testing::Test {
    static constexpr MoveSizes kHuge{.page = 2_MiB, .chunk = 2_MiB};
    Fd primary;
    Fd enclave;
    MoveCounters counters;

    void SetUp() override {
        primary = make_file(6_MiB, MFD_HUGETLB | MFD_HUGE_2MB);
        enclave = make_file(6_MiB, MFD_HUGETLB | MFD_HUGE_2MB);
        // The pages of one file, and the chunk beyond.
        if (!reserve_pages({primary, 0}, 6_MiB) || !reserve_pages({enclave, 0}, 2_MiB))
            GTEST_SKIP() << "this host has not four free pages of 2 MiB (vm.nr_hugepages)";
        ASSERT_TRUE(release_pages({enclave, 0}, 2_MiB));
    }
};

TEST_F(HugeRegionMoverTest, GoesThereAndBack) {
    {
        const auto mapping = Mapping::shared(primary, 6_MiB).value();
        mapping.data()[2_MiB + 5] = 7;
        mapping.data()[4_MiB + 8_KiB] = 8;
    }

    ASSERT_TRUE(move_region({primary, 2_MiB}, {enclave, 0}, 4_MiB, kHuge, counters));
    EXPECT_EQ(counters.bytes_copied, 4_MiB) << "the file does not say what of its pages was written";
    EXPECT_EQ(content(enclave, 5, 1)[0], 7);
    EXPECT_EQ(content(enclave, 2_MiB + 8_KiB, 1)[0], 8);
    EXPECT_EQ(bytes_in_use(primary), 2_MiB);
    EXPECT_EQ(bytes_in_use(enclave), 4_MiB);

    ASSERT_TRUE(return_region({enclave, 0}, {primary, 2_MiB}, 4_MiB, kHuge, counters));
    EXPECT_EQ(counters.bytes_cleared, 4_MiB);
    EXPECT_EQ(content(primary, 2_MiB, 4_MiB), Bytes(4_MiB, 0));
    EXPECT_EQ(bytes_in_use(primary), 6_MiB);
    EXPECT_EQ(bytes_in_use(enclave), 0U);
}

TEST(RegionMover, AHostWithoutPagesIsNamedSo) {
    constexpr uint64_t kMoreThanThereIs = 512_GiB;
    constexpr MoveSizes kWhole{.page = 2_MiB, .chunk = kMoreThanThereIs};
    const Fd primary = make_file(kMoreThanThereIs, MFD_HUGETLB | MFD_HUGE_2MB);
    const Fd enclave = make_file(kMoreThanThereIs, MFD_HUGETLB | MFD_HUGE_2MB);
    MoveCounters counters;

    EXPECT_EQ(move_region({primary, 0}, {enclave, 0}, kMoreThanThereIs, kWhole, counters).error().code(),
              ErrorCode::OutOfMemory);
    EXPECT_EQ(return_region({enclave, 0}, {primary, 0}, kMoreThanThereIs, kWhole, counters).error().code(),
              ErrorCode::OutOfMemory);
    EXPECT_EQ(bytes_in_use(primary), 0U);
    EXPECT_EQ(bytes_in_use(enclave), 0U);
}

}  // namespace
}  // namespace alcove::memory

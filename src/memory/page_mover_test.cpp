// SPDX-License-Identifier: Apache-2.0
#include "memory/page_mover.hpp"

#include <fcntl.h>

#include <gtest/gtest.h>

#include "memory/memory_file_test.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::memory {
namespace {

constexpr uint64_t kFileSize = 1_MiB;

Fd make_file(const char* name) {
    auto file = sys::memfd(name).value();
    EXPECT_TRUE(sys::truncate(file, kFileSize));
    return file;
}

Bytes pattern(uint64_t seed, size_t length) {
    Bytes bytes(length);
    for (size_t i = 0; i < length; ++i)
        bytes[i] = static_cast<uint8_t>(1 + (seed + i * 31 + i / 251) % 255);
    return bytes;
}

TEST(PageMover, ContentArrivesAndLeavesNothingBehind) {
    const Fd from = make_file("from");
    const Fd to = make_file("to");
    const Bytes data = pattern(7, kFileSize);
    ASSERT_TRUE(sys::write_all_at(from, data, 0));
    uint64_t moved = 0;
    MoveCounters counters;

    ASSERT_TRUE(move_pages({from, 256_KiB}, {to, 0}, 512_KiB, kPage, 64_KiB, moved, counters));

    EXPECT_EQ(moved, 512_KiB);
    EXPECT_EQ(counters.bytes_copied, 512_KiB);
    EXPECT_EQ(counters.bytes_cleared, 0U);
    EXPECT_EQ(content(to, 0, 512_KiB), Bytes(data.begin() + 256_KiB, data.begin() + 768_KiB));
    EXPECT_EQ(bytes_in_use(from), 512_KiB);
    EXPECT_EQ(bytes_in_use(to), 512_KiB);
    EXPECT_EQ(content(from, 256_KiB, 512_KiB), Bytes(512_KiB, 0));
    EXPECT_EQ(content(from, 768_KiB, 256_KiB), Bytes(data.begin() + 768_KiB, data.end()));
}

TEST(PageMover, HolesAreNotCopiedButReserved) {
    const Fd from = make_file("from");
    const Fd to = make_file("to");
    const Bytes data = pattern(3, kPage);
    ASSERT_TRUE(sys::write_all_at(from, data, 5 * kPage));
    ASSERT_TRUE(sys::write_all_at(from, Bytes(kPage, 0), 6 * kPage));
    Bytes last(kPage, 0);
    last.back() = 1;
    ASSERT_TRUE(sys::write_all_at(from, last, 15 * kPage));
    uint64_t moved = 0;
    MoveCounters counters;

    ASSERT_TRUE(move_pages({from, 0}, {to, 0}, 16 * kPage, kPage, 8 * kPage, moved, counters));

    EXPECT_EQ(counters.bytes_copied, 3 * kPage);
    EXPECT_EQ(counters.bytes_cleared, 13 * kPage);
    EXPECT_EQ(content(to, 5 * kPage, kPage), data);
    EXPECT_EQ(content(to, 6 * kPage, kPage), Bytes(kPage, 0));
    EXPECT_EQ(content(to, 15 * kPage, kPage), last);
    EXPECT_EQ(bytes_in_use(to), 16 * kPage);
    EXPECT_EQ(bytes_in_use(from), 0U);
}

TEST(PageMover, ReservedPagesAreZeroAndGivenBack) {
    const Fd file = make_file("file");

    ASSERT_TRUE(reserve_pages({file, kPage}, 4 * kPage));
    EXPECT_EQ(bytes_in_use(file), 4 * kPage);
    EXPECT_EQ(content(file, kPage, 4 * kPage), Bytes(4 * kPage, 0));

    ASSERT_TRUE(release_pages({file, kPage}, 4 * kPage));
    EXPECT_EQ(bytes_in_use(file), 0U);
}

TEST(PageMover, RenewedPagesHoldNothingOfWhatWasThereAndAreCountedEachTime) {
    const Fd file = make_file("file");
    const Bytes data = pattern(5, kFileSize);
    ASSERT_TRUE(sys::write_all_at(file, data, 0));
    MoveCounters counters;

    ASSERT_TRUE(renew_pages({file, 64_KiB}, 128_KiB, counters));
    EXPECT_EQ(content(file, 64_KiB, 128_KiB), Bytes(128_KiB, 0));
    EXPECT_EQ(content(file, 192_KiB, 64_KiB), Bytes(data.begin() + 192_KiB, data.begin() + 256_KiB));
    EXPECT_EQ(bytes_in_use(file), kFileSize);
    ASSERT_TRUE(renew_pages({file, 0}, 128_KiB, counters));

    EXPECT_EQ(counters.bytes_cleared, 256_KiB);
    EXPECT_EQ(counters.bytes_copied, 0U);
}

TEST(PageMover, WhatIsMissingIsReservedAndTheRestStays) {
    const Fd file = make_file("file");
    const Bytes data = pattern(3, kFileSize);
    ASSERT_TRUE(sys::write_all_at(file, data, 0));
    ASSERT_TRUE(release_pages({file, 64_KiB}, 128_KiB));
    const FileRange ranges[] = {{.offset = 0, .length = 128_KiB}, {.offset = 128_KiB, .length = 128_KiB}};

    ASSERT_TRUE(reserve_missing(file, kFileSize - 128_KiB, ranges));
    EXPECT_EQ(bytes_in_use(file), kFileSize - 128_KiB) << "nothing is missing that should be there";
    ASSERT_TRUE(reserve_missing(file, kFileSize, ranges));

    EXPECT_EQ(bytes_in_use(file), kFileSize);
    EXPECT_EQ(content(file, 0, 64_KiB), Bytes(data.begin(), data.begin() + 64_KiB));
    EXPECT_EQ(content(file, 64_KiB, 128_KiB), Bytes(128_KiB, 0));
    EXPECT_EQ(content(file, 192_KiB, 64_KiB), Bytes(data.begin() + 192_KiB, data.begin() + 256_KiB));
}

TEST(PageMover, AFailureSaysHowFarItCame) {
    const Fd from = make_file("from");
    const Bytes data = pattern(9, kFileSize);
    ASSERT_TRUE(sys::write_all_at(from, data, 0));
    const Fd to = make_file("to");
    // The receiver's file must not grow behind its end: the fourth chunk does not fit.
    ASSERT_TRUE(sys::truncate(to, 192_KiB));
    ASSERT_EQ(::fcntl(to.get(), F_ADD_SEALS, F_SEAL_GROW), 0);
    uint64_t moved = 0;
    MoveCounters counters;

    EXPECT_FALSE(move_pages({from, 0}, {to, 0}, 256_KiB, kPage, 64_KiB, moved, counters));

    EXPECT_EQ(moved, 192_KiB);
    EXPECT_EQ(content(to, 0, 192_KiB), Bytes(data.begin(), data.begin() + 192_KiB));
    EXPECT_EQ(content(from, 192_KiB, 64_KiB), Bytes(data.begin() + 192_KiB, data.begin() + 256_KiB));
}

}  // namespace
}  // namespace alcove::memory

// SPDX-License-Identifier: Apache-2.0
#include "enclave/guest_ram.hpp"

#include <fcntl.h>

#include <gtest/gtest.h>

#include "api/limits.hpp"
#include "support/system.hpp"

namespace alcove::enclave {
namespace {

const std::atomic<bool> kNotCancelled = false;

Result<Fd> reserve(uint64_t bytes, uint32_t page_size) {
    auto ram = TRY(open_guest_ram(bytes, page_size));
    TRY(fill_guest_ram(ram, bytes, page_size, kNotCancelled));
    return ram;
}

TEST(GuestRam, IsAllThereAndOfFixedSize) {
    const auto ram = reserve(8_MiB, api::kSmallPage).value();

    const auto info = sys::stat(ram).value();
    EXPECT_EQ(info.st_size, 8 << 20);
    EXPECT_GE(info.st_blocks * 512, 8 << 20);
    EXPECT_FALSE(sys::truncate(ram, 4_MiB));
    EXPECT_FALSE(sys::truncate(ram, 16_MiB));
    EXPECT_EQ(::fcntl(ram.get(), F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
}

TEST(GuestRam, IsOfFixedSizeBeforeItIsFilled) {
    const auto ram = open_guest_ram(8_MiB, api::kSmallPage).value();

    EXPECT_EQ(sys::stat(ram)->st_blocks, 0);
    EXPECT_FALSE(sys::truncate(ram, 16_MiB));
}

TEST(GuestRam, MoreThanTheHostHasIsAnErrorWithBothNumbers) {
    const auto ram = reserve(api::kMaxMemoryBytes, api::kSmallPage);

    ASSERT_FALSE(ram);
    EXPECT_EQ(ram.error().code(), ErrorCode::NoFreeMemory);
    EXPECT_NE(ram.error().message().find("524288 MiB"), std::string::npos);
}

TEST(GuestRam, MoreHugePagesThanThereAreIsAnErrorOfItsOwn) {
    const auto ram = reserve(api::kMaxMemoryBytes, api::kHugePage);

    ASSERT_FALSE(ram);
    EXPECT_EQ(ram.error().code(), ErrorCode::NoHugePages);
    EXPECT_NE(ram.error().message().find("262144 pages"), std::string::npos);
}

TEST(GuestRam, ReservingCanBeCancelled) {
    const std::atomic<bool> cancelled = true;

    const auto ram = open_guest_ram(8_MiB, api::kSmallPage).value();
    EXPECT_EQ(fill_guest_ram(ram, 8_MiB, api::kSmallPage, cancelled).error().code(), ErrorCode::Cancelled);
}

}  // namespace
}  // namespace alcove::enclave

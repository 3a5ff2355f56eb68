// SPDX-License-Identifier: Apache-2.0
#include "memory/guarded_copy.hpp"

#include <cerrno>
#include <csignal>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"

namespace alcove::memory {
namespace {

constexpr uint64_t kSize = 64_KiB;

// A mapping whose second half is of no file.
Mapping half_gone() {
    const auto file = sys::memfd("guarded").value();
    EXPECT_TRUE(sys::truncate(file, kSize));
    auto mapping = Mapping::shared(file, kSize).value();
    std::ranges::fill(mapping.mutable_bytes(), uint8_t{7});
    EXPECT_TRUE(sys::truncate(file, kSize / 2));
    return mapping;
}

TEST(GuardedCopy, WhatIsThereIsCopied) {
    const auto mapping = half_gone();
    Bytes into(kSize / 2);

    ASSERT_TRUE(guarded_copy(into, mapping.bytes().first(kSize / 2)));

    EXPECT_EQ(into, Bytes(kSize / 2, 7));
}

TEST(GuardedCopy, WhatIsGoneIsAnErrorEveryTime) {
    const auto mapping = half_gone();
    Bytes into(kSize);

    for (int i = 0; i < 3; ++i) {
        const auto copied = guarded_copy(into, mapping.bytes());
        ASSERT_FALSE(copied);
        EXPECT_EQ(copied.error().errno_value(), EFAULT);
    }
    EXPECT_TRUE(guarded_copy(MutableByteView(into).first(8), mapping.bytes().first(8)));
}

TEST(GuardedCopy, EveryThreadHasItsOwn) {
    const auto mapping = half_gone();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&, gone = i % 2 == 0] {
            Bytes into(kSize / 2);
            for (int round = 0; round < 50; ++round)
                EXPECT_EQ(
                    guarded_copy(into, mapping.bytes().subspan(gone ? kSize / 2 : 0, kSize / 2)).has_value(),
                    !gone);
        });
    for (auto& thread : threads)
        thread.join();
}

TEST(GuardedCopyDeathTest, AnAccessElsewhereStillEndsTheProcess) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto mapping = half_gone();
    Bytes into(8);
    ASSERT_TRUE(guarded_copy(into, mapping.bytes().first(8)));

    EXPECT_EXIT(static_cast<void>(*static_cast<volatile uint8_t*>(mapping.data() + kSize / 2)),
                testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace alcove::memory

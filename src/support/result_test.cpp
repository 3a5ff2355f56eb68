// SPDX-License-Identifier: Apache-2.0
#include "support/result.hpp"

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "support/checked.hpp"

namespace alcove {
namespace {

Result<std::unique_ptr<int>> make(bool ok) {
    if (!ok) return fail(ErrorCode::NotFound, "nothing");
    return std::make_unique<int>(7);
}

Result<int> use(bool ok) {
    auto pointer = TRY(make(ok).context("making"));
    return *pointer;
}

Result<void> pass(bool ok) {
    TRY(use(ok));
    return {};
}

TEST(Result, TryGivesMoveOnlyValues) {
    EXPECT_EQ(use(true).value(), 7);
    EXPECT_TRUE(pass(true).has_value());
}

TEST(Result, TryPassesTheErrorUpWithItsContext) {
    const auto result = pass(false);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code(), ErrorCode::NotFound);
    EXPECT_EQ(result.error().to_string(), "making: nothing");
}

TEST(ResultDeathTest, ValueOfAFailureEndsTheProcess) {
    EXPECT_DEATH(use(false).value(), "value\\(\\) of a failed Result");
}

TEST(Checked, RangeWithinDoesNotWrap) {
    EXPECT_TRUE(range_within<uint64_t>(0, 10, 10));
    EXPECT_FALSE(range_within<uint64_t>(1, 10, 10));
    EXPECT_FALSE(range_within<uint64_t>(~uint64_t{0}, 2, 10));
    EXPECT_FALSE(checked_add<uint64_t>(~uint64_t{0}, 1).has_value());
}

TEST(Bits, FieldReadsAndReplacesItsBitsOnly) {
    using Middle = Field<uint32_t, 14, 13>;
    EXPECT_EQ(Middle::get(0x6000), 3U);
    EXPECT_EQ(Middle::put(0xffffffff, 0), 0xffff9fffU);
    EXPECT_EQ(Middle::put(0, 7), 0x6000U);
    EXPECT_EQ(align_up<uint64_t>(1, 4_KiB), 4096U);
}

}  // namespace
}  // namespace alcove

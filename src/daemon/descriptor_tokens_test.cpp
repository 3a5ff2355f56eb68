// SPDX-License-Identifier: Apache-2.0
#include "daemon/descriptor_tokens.hpp"

#include <set>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::daemon {
namespace {

using std::chrono::seconds;
constexpr DescriptorTokens::Time kNow{seconds(1000)};

Fd descriptor() {
    return sys::memfd("offered").value();
}

TEST(DescriptorTokens, ATokenIsGoodOnce) {
    DescriptorTokens tokens;
    const auto token = tokens.put(descriptor(), 1000, kNow).value();

    EXPECT_EQ(token.size(), 32U);
    EXPECT_TRUE(tokens.take(token, 1000, kNow));
    EXPECT_EQ(tokens.take(token, 1000, kNow).error().code(), ErrorCode::NotFound);
}

TEST(DescriptorTokens, ATokenIsGoodForItsUserOnly) {
    DescriptorTokens tokens;
    const auto token = tokens.put(descriptor(), 1000, kNow).value();

    EXPECT_EQ(tokens.take(token, 1001, kNow).error().code(), ErrorCode::NotFound);
    EXPECT_EQ(tokens.take(token, 0, kNow).error().code(), ErrorCode::NotFound);
    EXPECT_TRUE(tokens.take(token, 1000, kNow));
}

TEST(DescriptorTokens, ATokenExpires) {
    DescriptorTokens tokens;
    const auto early = tokens.put(descriptor(), 1000, kNow).value();
    const auto late = tokens.put(descriptor(), 1000, kNow + seconds(1)).value();

    EXPECT_EQ(tokens.take(early, 1000, kNow + seconds(60)).error().code(), ErrorCode::NotFound);
    EXPECT_TRUE(tokens.take(late, 1000, kNow + seconds(60)));
    EXPECT_EQ(tokens.waiting(), 0U);
}

TEST(DescriptorTokens, OneUserCannotTakeAllPlaces) {
    DescriptorTokens tokens;
    for (size_t i = 0; i < DescriptorTokens::kMaxOfOneUser; ++i)
        ASSERT_TRUE(tokens.put(descriptor(), 1000, kNow));

    EXPECT_EQ(tokens.put(descriptor(), 1000, kNow).error().code(), ErrorCode::LimitExceeded);
    EXPECT_TRUE(tokens.put(descriptor(), 1001, kNow));
    EXPECT_TRUE(tokens.put(descriptor(), 1000, kNow + seconds(61)));
}

TEST(DescriptorTokens, AllUsersTogetherHaveALimit) {
    DescriptorTokens tokens;
    for (size_t i = 0; i < DescriptorTokens::kMaxWaiting; ++i)
        ASSERT_TRUE(tokens.put(descriptor(), static_cast<uid_t>(i), kNow));

    EXPECT_EQ(tokens.put(descriptor(), 5000, kNow).error().code(), ErrorCode::LimitExceeded);
}

TEST(DescriptorTokens, TokensDiffer) {
    DescriptorTokens tokens;
    std::set<std::string> seen;
    for (uid_t user = 0; user < 50; ++user)
        seen.insert(tokens.put(descriptor(), user, kNow).value());

    EXPECT_EQ(seen.size(), 50U);
}

}  // namespace
}  // namespace alcove::daemon

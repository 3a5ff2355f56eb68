// SPDX-License-Identifier: Apache-2.0
#include "crypto/random.hpp"

#include <utility>

#include <gtest/gtest.h>

#include "crypto/secret.hpp"

namespace alcove::crypto {
namespace {

TEST(Random, TwoDrawsDiffer) {
    EXPECT_NE(random_array<32>().value(), (random_array<32>().value()));
}

TEST(Random, NothingAskedForIsFine) {
    EXPECT_TRUE(fill_random({}));
}

TEST(Secret, MovingLeavesNothingBehind) {
    SecretBytes first(Bytes{1, 2, 3});

    const SecretBytes second = std::move(first);

    EXPECT_TRUE(first.view().empty());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(to_bytes(second.view()), (Bytes{1, 2, 3}));
}

TEST(Secret, CleansingOverwrites) {
    Bytes bytes(64, 0xaa);

    cleanse(bytes);

    EXPECT_EQ(bytes, Bytes(64, 0));
}

}  // namespace
}  // namespace alcove::crypto

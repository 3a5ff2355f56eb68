// SPDX-License-Identifier: Apache-2.0
//
// The words are the published first outputs of SplitMix64 for the seed 1234567.
#include "probe/pattern.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace alcove::probe {
namespace {

uint64_t little_endian_word(ByteView bytes) {
    uint64_t word = 0;
    for (size_t i = 8; i-- > 0;)
        word = word << 8 | bytes[i];
    return word;
}

TEST(ProbePattern, BeginsWithTheWordsOfSplitMix64) {
    const Pattern pattern(1234567);
    EXPECT_EQ(little_endian_word(pattern.at(0)), 6457827717110365317u);
    EXPECT_EQ(little_endian_word(pattern.at(8)), 3203168211198807973u);
    EXPECT_EQ(little_endian_word(pattern.at(16)), 9817491932198370423u);
}

TEST(ProbePattern, ChunksAreWholeWhereverTheyBegin) {
    const Pattern pattern(1);
    EXPECT_EQ(pattern.at(0).size(), Pattern::kChunk);
    EXPECT_EQ(pattern.at(Pattern::kPeriod - 1).size(), Pattern::kChunk);
}

TEST(ProbePattern, RepeatsAfterItsPeriodAndNotBefore) {
    const Pattern pattern(3);
    EXPECT_TRUE(std::ranges::equal(pattern.at(5), pattern.at(5 + Pattern::kPeriod)));
    EXPECT_FALSE(std::ranges::equal(pattern.at(0), pattern.at(65536)));
    // The end of one chunk is what the next begins with.
    EXPECT_EQ(pattern.at(0)[1000], pattern.at(1000)[0]);
    EXPECT_EQ(pattern.at(0)[Pattern::kPeriod], pattern.at(Pattern::kPeriod)[0]);
}

TEST(ProbePattern, SeedsDiffer) {
    EXPECT_FALSE(std::ranges::equal(Pattern(1).at(0), Pattern(2).at(0)));
}

}  // namespace
}  // namespace alcove::probe

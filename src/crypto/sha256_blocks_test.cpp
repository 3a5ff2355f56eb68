// SPDX-License-Identifier: Apache-2.0
#include "crypto/sha256_blocks.hpp"

#include <array>

#include <gtest/gtest.h>

#include "codec/hex.hpp"

namespace alcove::crypto {
namespace {

Bytes some_blocks(size_t count) {
    Bytes bytes(count * Sha256Blocks::kBlockSize);
    for (size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<uint8_t>(i * 7 + i / 256);
    return bytes;
}

// FIPS 180-4's empty message, and NIST CAVP SHA256ShortMsg.rsp, Len = 512.
TEST(Sha256Blocks, GivesTheStandardsValues) {
    EXPECT_EQ(codec::hex_encode(Sha256Blocks().finish()),
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    Sha256Blocks one;
    one.update(
        *codec::hex_decode("5a86b737eaea8ee976a0a24da63e7ed7eefad18a101c1211e2b3650c5187c2a8"
                           "a650547208251f6d4237e661c7bf4c77f335390394c37fa1a9f9be836ac28509"));
    EXPECT_EQ(codec::hex_encode(one.finish()),
              "42e61e174fbb3897d6dd6cef3dd2802fe67b331953b06114a65c772859dfc1aa");
}

TEST(Sha256Blocks, IsSha256WhateverTheParts) {
    const Bytes message = some_blocks(9);
    Sha256Blocks blocks;
    blocks.update(ByteView(message).first(64));
    blocks.update({});
    blocks.update(ByteView(message).subspan(64));
    EXPECT_EQ(blocks.finish(), sha256(message));
    EXPECT_EQ(blocks.state().blocks, 9U);
}

TEST(Sha256Blocks, FinishingChangesNothing) {
    const Bytes message = some_blocks(2);
    Sha256Blocks blocks;
    blocks.update(ByteView(message).first(64));
    EXPECT_EQ(blocks.finish(), blocks.finish());
    blocks.update(ByteView(message).subspan(64));
    EXPECT_EQ(blocks.finish(), sha256(message));
}

TEST(Sha256Blocks, IsTakenUpWhereItsStateSays) {
    const Bytes message = some_blocks(5);
    Sha256Blocks first;
    first.update(ByteView(message).first(128));
    Sha256Blocks second(first.state());
    second.update(ByteView(message).subspan(128));
    EXPECT_EQ(second.finish(), sha256(message));
}

// What the standard appends, appended by hand.
TEST(Sha256Blocks, CountsBitsBeyondThirtyTwo) {
    Sha256Blocks::State state = Sha256Blocks().state();
    state.blocks = uint64_t{1} << 23;  // 2^32 bits
    std::array<uint8_t, 64> padding{0x80};
    padding[59] = 1;
    Sha256Blocks padded(state);
    padded.update(padding);

    Sha256Value expected{};
    for (size_t i = 0; i < expected.size(); ++i)
        expected[i] = static_cast<uint8_t>(padded.state().words[i / 4] >> (24 - 8 * (i % 4)));
    EXPECT_EQ(Sha256Blocks(state).finish(), expected);
}

}  // namespace
}  // namespace alcove::crypto

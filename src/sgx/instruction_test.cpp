// SPDX-License-Identifier: Apache-2.0
#include "sgx/instruction.hpp"

#include <array>

#include <gtest/gtest.h>

namespace alcove::sgx {
namespace {

TEST(Instruction, TheTwoAreRecognised) {
    EXPECT_EQ(decode(Bytes{0x0f, 0x01, 0xcf}, true), (Decoded{Instruction::ENCLS, 3}));
    EXPECT_EQ(decode(Bytes{0x0f, 0x01, 0xd7, 0x90}, true), (Decoded{Instruction::ENCLU, 3}));
    EXPECT_EQ(decode(Bytes{0x0f, 0x01, 0xd7}, false), (Decoded{Instruction::ENCLU, 3}));
}

TEST(Instruction, OthersAreNot) {
    EXPECT_EQ(decode({}, true), std::nullopt);
    EXPECT_EQ(decode(Bytes{0x0f, 0x01}, true), std::nullopt);
    EXPECT_EQ(decode(Bytes{0x0f, 0x0b}, true), std::nullopt);        // UD2
    EXPECT_EQ(decode(Bytes{0x0f, 0x01, 0xc0}, true), std::nullopt);  // ENCLV
    EXPECT_EQ(decode(Bytes{0x0f, 0x02, 0xcf}, true), std::nullopt);
}

TEST(Instruction, SomePrefixesAreIgnored) {
    for (const uint8_t prefix :
         std::to_array<uint8_t>({0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x67, 0x40, 0x48, 0x4f}))
        EXPECT_EQ(decode(Bytes{prefix, 0x0f, 0x01, 0xcf}, true), (Decoded{Instruction::ENCLS, 4}));
    EXPECT_EQ(decode(Bytes{0x65, 0x67, 0x48, 0x0f, 0x01, 0xd7}, true), (Decoded{Instruction::ENCLU, 6}));
    EXPECT_EQ(decode(Bytes{0x48, 0x0f, 0x01, 0xd7}, false), std::nullopt);  // DEC
}

TEST(Instruction, OthersMakeItUndefined) {
    for (const uint8_t prefix : std::to_array<uint8_t>({0xf0, 0x66, 0xf2, 0xf3, 0xc5, 0xc4}))
        EXPECT_EQ(decode(Bytes{prefix, 0x0f, 0x01, 0xcf}, true), std::nullopt);
}

TEST(Instruction, FifteenBytesAreTheLimit) {
    Bytes bytes(12, 0x67);
    bytes.insert(bytes.end(), {0x0f, 0x01, 0xcf});
    EXPECT_EQ(decode(bytes, true), (Decoded{Instruction::ENCLS, 15}));
    bytes.insert(bytes.begin(), 0x67);
    EXPECT_EQ(decode(bytes, true), std::nullopt);
}

}  // namespace
}  // namespace alcove::sgx

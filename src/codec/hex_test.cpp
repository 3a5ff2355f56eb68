// SPDX-License-Identifier: Apache-2.0
#include "codec/hex.hpp"

#include <gtest/gtest.h>

namespace alcove::codec {
namespace {

TEST(HexTest, BytesBecomeLowerCaseDigitsHighOneFirst) {
    EXPECT_EQ(hex_encode(Bytes{0x00, 0x1f, 0xa0, 0xff}), "001fa0ff");
    EXPECT_EQ(hex_encode({}), "");
}

TEST(HexTest, EitherCaseIsRead) {
    EXPECT_EQ(hex_decode("001FaAff").value(), (Bytes{0x00, 0x1f, 0xaa, 0xff}));
    EXPECT_TRUE(hex_decode("").value().empty());
}

TEST(HexTest, OddLengthsAndForeignCharactersAreRefused) {
    for (const std::string_view text : {"0", "0g", "g0", "0x12", " 00", "00\n0"})
        EXPECT_EQ(hex_decode(text).error().code(), ErrorCode::TextMalformed) << text;
}

}  // namespace
}  // namespace alcove::codec

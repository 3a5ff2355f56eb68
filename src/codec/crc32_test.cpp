// SPDX-License-Identifier: Apache-2.0
#include "codec/crc32.hpp"

#include <zlib.h>

#include <gtest/gtest.h>

namespace alcove::codec {
namespace {

uint32_t crc_of(ByteView data) {
    Crc32 crc;
    crc.update(data);
    return crc.value();
}

TEST(Crc32Test, TheCheckValueOfThePolynomial) {
    EXPECT_EQ(crc_of(as_byte_view("123456789")), 0xCBF43926U);
    EXPECT_EQ(crc_of({}), 0U);
}

TEST(Crc32Test, AgreesWithZlibAtEveryLengthAndAlignment) {
    Bytes data(600);
    for (size_t index = 0; index < data.size(); ++index)
        data[index] = static_cast<uint8_t>(index * 37 + (index >> 3));
    for (size_t begin = 0; begin < 17; ++begin)
        for (size_t end = begin; end < data.size(); end += 7) {
            const ByteView part = ByteView(data).subspan(begin, end - begin);
            ASSERT_EQ(crc_of(part), ::crc32(0, part.data(), static_cast<unsigned>(part.size())));
        }
}

TEST(Crc32Test, PiecesAndCombinationsMakeTheSameSum) {
    const ByteView whole = as_byte_view("a head that is known last, and a body");
    Crc32 pieces;
    pieces.update(whole.first(5));
    pieces.update(whole.subspan(5));
    Crc32 head;
    head.update(whole.first(20));
    Crc32 body;
    body.update(whole.subspan(20));
    head.append(body);

    EXPECT_EQ(pieces.value(), crc_of(whole));
    EXPECT_EQ(head.value(), crc_of(whole));
    EXPECT_EQ(head.length(), whole.size());
}

}  // namespace
}  // namespace alcove::codec

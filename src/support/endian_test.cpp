// SPDX-License-Identifier: Apache-2.0
#include "support/endian.hpp"

#include <gtest/gtest.h>

#include "support/bytes.hpp"

namespace alcove {
namespace {

struct Header {
    Be16 type;
    Be16 flags;
    Be64 size;
};
static_assert(sizeof(Header) == 12);

TEST(Endian, StructuresHaveNoPaddingAndTheNamedOrder) {
    const Header header{.type = 1, .flags = 0x0203, .size = 0x0405060708090a0bULL};
    const auto bytes = object_bytes(header);
    EXPECT_EQ(Bytes(bytes.begin(), bytes.end()), (Bytes{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
}

TEST(Endian, ReadObjectRefusesWhatIsNotWhole) {
    const Bytes bytes{1, 0, 0, 0, 2};
    EXPECT_EQ(*read_object<Le32>(bytes, 1), 0x02000000U);
    EXPECT_FALSE(read_object<Le32>(bytes, 2).has_value());
    EXPECT_FALSE(read_object<Le32>(bytes, ~uint64_t{0}).has_value());
}

}  // namespace
}  // namespace alcove

// SPDX-License-Identifier: Apache-2.0
#include "codec/utf8.hpp"

#include <gtest/gtest.h>

namespace alcove::codec {
namespace {

TEST(Utf8Test, TheEndsOfEachLengthAreAccepted) {
    for (const std::string_view text :
         {"", "\x01\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xef\xbf\xbf", "\xed\x9f\xbf",
          "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
        EXPECT_TRUE(is_utf8(text)) << testing::PrintToString(text);
}

TEST(Utf8Test, OverlongFormsSurrogatesAndFragmentsAreRefused) {
    for (const std::string_view text :
         {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2 ", "\xe0\x9f\xbf", "\xe1\x80", "\xe1\x80 ",
          "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
          "\xf1\x80\x80"})
        EXPECT_FALSE(is_utf8(text)) << testing::PrintToString(text);
}

}  // namespace
}  // namespace alcove::codec

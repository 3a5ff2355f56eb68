// SPDX-License-Identifier: Apache-2.0
#include "codec/base64.hpp"

#include <gtest/gtest.h>

namespace alcove::codec {
namespace {

TEST(Base64Test, VectorsOfRfc4648) {
    const std::pair<std::string_view, std::string_view> vectors[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (const auto& [plain, text] : vectors) {
        EXPECT_EQ(base64_encode(as_byte_view(plain)), text);
        EXPECT_EQ(as_text(base64_decode(text).value()), plain);
    }
}

TEST(Base64Test, EveryByteComesBack) {
    Bytes all(256);
    for (size_t index = 0; index < all.size(); ++index)
        all[index] = static_cast<uint8_t>(index);
    EXPECT_EQ(base64_decode(base64_encode(all)).value(), all);
}

TEST(Base64Test, OtherTextsAreRefused) {
    for (const std::string_view text :
         {"Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm9v\n", "Zm 9", "Zg==Zg==", "Z-_v", "=m9v", "Zm=v"})
        EXPECT_EQ(base64_decode(text).error().code(), ErrorCode::TextMalformed) << text;
}

}  // namespace
}  // namespace alcove::codec

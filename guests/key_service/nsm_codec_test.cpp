// SPDX-License-Identifier: Apache-2.0
//
// The expected bytes were made with python3-cbor2.
#include "key_service/nsm_codec.hpp"

#include <gtest/gtest.h>

#include "key_service/hex.hpp"

namespace alcove::key_service {
namespace {

Bytes hex(std::string_view text) {
    return from_hex(text).value();
}

TEST(NsmCodec, RequestIsWhatAnotherEncoderMakes) {
    const Bytes request = encode_attestation_request(hex("3076"), hex("0102030405"));
    EXPECT_EQ(to_hex(request),
              "a16b4174746573746174696f6ea369757365725f64617461f6656e6f6e63654501020304056a7075626c69635f6b65"
              "79423076");
}

TEST(NsmCodec, LengthsOfOneAndTwoBytesAreWrittenShortest) {
    const Bytes request = encode_attestation_request(Bytes(120, 1), Bytes(512, 2));
    // 59 0200 before the nonce, 58 78 before the key.
    const std::string text = to_hex(request);
    EXPECT_NE(text.find("656e6f6e636559020002"), std::string::npos);
    EXPECT_NE(text.find("6a7075626c69635f6b6579587801"), std::string::npos);
    EXPECT_EQ(request.size(), 1u + 12 + 1 + 10 + 1 + 6 + 3 + 512 + 11 + 2 + 120);
}

TEST(NsmCodec, DocumentIsTakenFromTheReply) {
    const auto document =
        decode_attestation_reply(hex("a16b4174746573746174696f6ea168646f63756d656e744484440102"));
    ASSERT_TRUE(document);
    EXPECT_EQ(*document, hex("84440102"));
}

TEST(NsmCodec, LengthMayBeWiderThanNeeded) {
    const auto document =
        decode_attestation_reply(hex("a16b4174746573746174696f6ea168646f63756d656e745b000000000000000284ff"));
    ASSERT_TRUE(document);
    EXPECT_EQ(*document, hex("84ff"));
}

TEST(NsmCodec, ErrorOfTheModuleIsPassedOnByName) {
    const auto document = decode_attestation_reply(hex("a1654572726f726d496e707574546f6f4c61726765"));
    ASSERT_FALSE(document);
    EXPECT_EQ(document.error().code(), ErrorCode::Unsupported);
    EXPECT_EQ(document.error().message(), "the security module says InputTooLarge");
}

TEST(NsmCodec, ReplyCutAnywhereIsRefused) {
    const Bytes reply = hex("a16b4174746573746174696f6ea168646f63756d656e744484440102");
    for (size_t length = 0; length < reply.size(); ++length) {
        const auto document = decode_attestation_reply(ByteView(reply).first(length));
        ASSERT_FALSE(document) << length;
        EXPECT_EQ(document.error().code(), ErrorCode::CborMalformed) << length;
    }
}

TEST(NsmCodec, RepliesOfOtherShapesAreRefused) {
    EXPECT_FALSE(decode_attestation_reply(hex("674c6f636b504352")));                            // "LockPCR"
    EXPECT_FALSE(decode_attestation_reply(hex("a16947657452616e646f6da16672616e646f6d4101")));  // GetRandom
    EXPECT_FALSE(decode_attestation_reply(hex("a16b4174746573746174696f6ea163646f634184")));    // no document
    EXPECT_FALSE(decode_attestation_reply(
        hex("a16b4174746573746174696f6ea168646f63756d656e74448444010200")));  // something behind it
    EXPECT_FALSE(decode_attestation_reply(
        hex("a16b4174746573746174696f6ea168646f63756d656e745bffffffffffffffff84")));  // a lying length
}

}  // namespace
}  // namespace alcove::key_service

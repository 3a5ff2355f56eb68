// SPDX-License-Identifier: Apache-2.0
//
// The expected bytes were made with python3-cbor2.
#include "probe/nsm_message.hpp"

#include <gtest/gtest.h>

#include "key_service/hex.hpp"

namespace alcove::probe {
namespace {

Bytes hex(std::string_view text) {
    return key_service::from_hex(text).value();
}

constexpr std::string_view kDescription =
    "a16b44657363726962654e534da4686d61785f706372731820696d6f64756c655f696468692d312d"
    "656e63326b6c6f636b65645f7063727383000119012c64666c6167f5";

TEST(ProbeNsmMessage, RequestsAreWhatAnotherEncoderMakes) {
    EXPECT_EQ(encode_plain_request("GetRandom"), hex("6947657452616e646f6d"));
    EXPECT_EQ(encode_number_request("DescribePCR", "index", 31),
              hex("a16b4465736372696265504352a165696e646578181f"));
    EXPECT_EQ(encode_number_request("LockPCRs", "range", 300),
              hex("a1684c6f636b50435273a16572616e676519012c"));
    EXPECT_EQ(encode_number_request("LockPCR", "index", 70000),
              hex("a1674c6f636b504352a165696e6465781a00011170"));
    EXPECT_EQ(encode_extend_request(16, hex("0102")),
              hex("a169457874656e64504352a265696e646578106464617461420102"));
    EXPECT_EQ(
        encode_attestation_request({.user_data = hex("aa"), .nonce = std::nullopt, .public_key = hex("")}),
        hex("a16b4174746573746174696f6ea369757365725f6461746141aa656e6f6e6365f66a7075626c69635f6b657940"));
}

TEST(ProbeNsmMessage, FieldsOfAReplyAreFoundByName) {
    const auto reply = decode_reply(hex(kDescription));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->name, "DescribeNSM");
    EXPECT_EQ(reply->fields.field("max_pcrs", Value::Kind::Number).value()->number, 32u);
    EXPECT_EQ(reply->fields.field("module_id", Value::Kind::Text).value()->text(), "i-1-enc2");
    const Value* locked = reply->fields.field("locked_pcrs", Value::Kind::Array).value();
    ASSERT_EQ(locked->items.size(), 3u);
    EXPECT_EQ(locked->items[2].number, 300u);
    EXPECT_EQ(reply->fields.field("flag", Value::Kind::Bool).value()->number, 1u);
    EXPECT_FALSE(reply->fields.field("max_pcrs", Value::Kind::Text));
    EXPECT_FALSE(reply->fields.field("other", Value::Kind::Text));
}

TEST(ProbeNsmMessage, NamesAndErrorsAreToldApart) {
    EXPECT_EQ(decode_reply(hex("674c6f636b504352"))->to_string(), "LockPCR");
    EXPECT_EQ(decode_reply(hex("a1654572726f726d496e707574546f6f4c61726765"))->to_string(),
              "Error InputTooLarge");
}

TEST(ProbeNsmMessage, ReplyCutAnywhereIsRefused) {
    const Bytes reply = hex(kDescription);
    for (size_t length = 0; length < reply.size(); ++length)
        EXPECT_FALSE(decode_reply(ByteView(reply).first(length))) << length;
}

TEST(ProbeNsmMessage, OtherShapesAreRefused) {
    EXPECT_FALSE(decode_reply(hex("674c6f636b50435200")));  // something behind it
    EXPECT_FALSE(decode_reply(hex("01")));                  // a number
    EXPECT_FALSE(decode_reply(hex("a2616101616202")));      // two names
    EXPECT_FALSE(decode_reply(hex("bbffffffffffffffff")));  // a lying length
    EXPECT_FALSE(decode_reply(Bytes(4096, 0x81)));          // nested without end
    EXPECT_FALSE(decode_reply(hex("bf6161ff")));            // indefinite
}

}  // namespace
}  // namespace alcove::probe

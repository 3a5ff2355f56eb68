// SPDX-License-Identifier: Apache-2.0
//
// The encodings are those of RFC 8949, appendix A, unless a test says otherwise.
#include "codec/cbor.hpp"

#include <gtest/gtest.h>

#include "codec/cbor_writer.hpp"
#include "codec/hex.hpp"

namespace alcove::codec::cbor {
namespace {

Bytes from_hex(std::string_view text) {
    return hex_decode(text).value();
}

Result<Value> decode_hex(std::string_view text, const Limits& limits = {}) {
    return decode(from_hex(text), limits);
}

TEST(CborTest, CanonicalEncodingsOfTheRfcComeBackByteForByte) {
    for (const std::string_view text : {"00",
                                        "01",
                                        "0a",
                                        "17",
                                        "1818",
                                        "1819",
                                        "1864",
                                        "1903e8",
                                        "1a000f4240",
                                        "1b000000e8d4a51000",
                                        "1bffffffffffffffff",
                                        "3bffffffffffffffff",
                                        "20",
                                        "29",
                                        "3863",
                                        "3903e7",
                                        "f4",
                                        "f5",
                                        "f6",
                                        "f7",
                                        "fb3ff199999999999a",
                                        "fb7e37e43c8800759c",
                                        "c11a514b67b0",
                                        "d74401020304",
                                        "d818456449455446",
                                        "40",
                                        "4401020304",
                                        "60",
                                        "6161",
                                        "6449455446",
                                        "62225c",
                                        "62c3bc",
                                        "63e6b0b4",
                                        "64f0908591",
                                        "80",
                                        "83010203",
                                        "8301820203820405",
                                        "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
                                        "a0",
                                        "a201020304",
                                        "a26161016162820203",
                                        "826161a161626163",
                                        "a56161614161626142616361436164614461656145"}) {
        const auto value = decode_hex(text);
        ASSERT_TRUE(value) << text << ": " << value.error().to_string();
        EXPECT_EQ(hex_encode(encode(*value)), text);
    }
}

TEST(CborTest, EveryTagComesBack) {
    for (const uint64_t tag :
         {0U, 5U, 6U, 16U, 18U, 20U, 21U, 23U, 24U, 32U, 98U, 255U, 256U, 55799U, 0xFFFFFFFFU}) {
        const Bytes encoded = encode(Value::tagged(tag, Value::integer(-1)));
        const auto value = decode(encoded);
        ASSERT_TRUE(value) << tag;
        EXPECT_EQ(value->as_tagged().value()->tag, tag);
        EXPECT_EQ(encode(*value), encoded);
    }
}

TEST(CborTest, WideIntegersAndIndefiniteLengthsMeanTheSame) {
    const std::pair<std::string_view, std::string_view> pairs[] = {
        {"1800", "00"},
        {"190001", "01"},
        {"1a00000001", "01"},
        {"1b0000000000000001", "01"},
        {"3800", "20"},
        {"5f42010243030405ff", "450102030405"},
        {"5fff", "40"},
        {"7f657374726561646d696e67ff", "6973747265616d696e67"},
        {"9fff", "80"},
        {"9f018202039f0405ffff", "8301820203820405"},
        {"83018202039f0405ff", "8301820203820405"},
        {"bf61610161629f0203ffff", "a26161016162820203"},
        {"bf6346756ef563416d7421ff", "a26346756ef563416d7421"},
        {"590001aa", "41aa"},
        {"f93c00", "fb3ff0000000000000"},
        {"fa47c35000", "fb40f86a0000000000"},
    };
    for (const auto& [wide, canonical] : pairs)
        EXPECT_EQ(hex_encode(encode(decode_hex(wide).value())), canonical) << wide;
}

TEST(CborTest, MalformedInputIsRefused) {
    for (const std::string_view text : {"1c",            // reserved argument
                                        "ff",            // break on its own
                                        "82ff01",        // break in a definite array
                                        "bf6161ff",      // a key without its value
                                        "5f6161ff",      // text among byte chunks
                                        "7f4161ff",      // bytes among text chunks
                                        "5f5f41aaffff",  // chunks inside chunks
                                        "5f01ff",        // an integer among chunks
                                        "61ff",          // not UTF-8
                                        "7f61c361bcff",  // a character cut in two
                                        "f818", "f0",    // unassigned simple values
                                        "c1ff",          // a tag of nothing
                                        "0000",          // trailing byte
                                        "a2010201ff"}) {
        const auto value = decode_hex(text);
        ASSERT_FALSE(value) << text;
        EXPECT_EQ(value.error().code(), ErrorCode::CborMalformed) << text << value.error().to_string();
    }
}

TEST(CborTest, EveryPrefixOfAnItemIsTruncated) {
    const Bytes whole = from_hex("bf6161c1820143aabbcc61629f0118ff7f61616162ffa16178f6ffff");
    for (size_t length = 0; length < whole.size(); ++length) {
        const auto value = decode(ByteView(whole).first(length));
        ASSERT_FALSE(value) << length;
        EXPECT_EQ(value.error().code(), ErrorCode::Truncated) << length;
    }
}

TEST(CborTest, LengthsBeyondTheInputAreTruncatedWithoutAnAllocation) {
    for (const std::string_view text :
         {"9bffffffffffffffff", "bbffffffffffffffff", "bb8000000000000001", "5bffffffffffffffff",
          "7bffffffffffffffff", "9a0fffffff01", "84010203"})
        EXPECT_EQ(decode_hex(text).error().code(), ErrorCode::Truncated) << text;
}

TEST(CborTest, DepthIsBounded) {
    const Limits limits{.depth = 3};
    EXPECT_TRUE(decode_hex("81818100", limits));
    EXPECT_TRUE(decode_hex("8181c100", limits));
    EXPECT_EQ(decode_hex("8181818100", limits).error().code(), ErrorCode::LimitExceeded);
    EXPECT_EQ(decode_hex("c1c1c1c100", limits).error().code(), ErrorCode::LimitExceeded);
    EXPECT_EQ(decode_hex("9f9f9f9f", limits).error().code(), ErrorCode::LimitExceeded);
    EXPECT_EQ(decode(Bytes(60000, 0x9f), {.depth = SIZE_MAX}).error().code(), ErrorCode::LimitExceeded);
}

TEST(CborTest, ItemsAndBytesAreBounded) {
    EXPECT_TRUE(decode_hex("820102", {.items = 3}));
    EXPECT_EQ(decode_hex("820102", {.items = 2}).error().code(), ErrorCode::LimitExceeded);
    EXPECT_EQ(decode_hex("5f404040ff", {.items = 3}).error().code(), ErrorCode::LimitExceeded);
    EXPECT_EQ(decode_hex("820102", {.bytes = 2}).error().code(), ErrorCode::LimitExceeded);
}

TEST(CborTest, DuplicateKeysAreRefusedUnlessAccepted) {
    EXPECT_EQ(decode_hex("a201020103").error().code(), ErrorCode::CborMalformed);
    EXPECT_EQ(decode_hex("bf6161016161f6ff").error().code(), ErrorCode::CborMalformed);
    EXPECT_EQ(decode_hex("a20102180103").error().code(), ErrorCode::CborMalformed);  // 1 in two widths

    const Value accepted = decode_hex("a201020103", {.duplicate_keys = DuplicateKeys::Accept}).value();
    EXPECT_EQ(accepted.as_map().value()->find(1)->as_unsigned().value(), 2U);
}

TEST(CborTest, TheFirstItemLeavesTheRestToTheCaller) {
    const Bytes input = from_hex("8201024401");
    const Prefix prefix = decode_first(input).value();
    EXPECT_EQ(prefix.consumed, 3U);
    EXPECT_EQ(prefix.value.as_array().value().size(), 2U);
}

TEST(CborTest, GettersRefuseOtherKinds) {
    const Value text = Value::text("x");
    EXPECT_FALSE(text.as_unsigned());
    EXPECT_FALSE(text.as_bytes());
    EXPECT_FALSE(text.as_map());
    EXPECT_FALSE(Value::null().as_text());
    EXPECT_FALSE(Value::integer(-1).as_unsigned());
    EXPECT_EQ(text.as_array().error().code(), ErrorCode::CborMalformed);
}

TEST(CborTest, IntegersAtTheEndsOfTheirRange) {
    EXPECT_EQ(Value::integer(INT64_MIN).as_integer().value(), INT64_MIN);
    EXPECT_EQ(hex_encode(encode(Value::integer(INT64_MIN))), "3b7fffffffffffffff");
    EXPECT_FALSE(decode_hex("3b8000000000000000").value().as_integer());
    EXPECT_FALSE(decode_hex("1b8000000000000000").value().as_integer());
    EXPECT_EQ(hex_encode(encode(Value::integer(-35))), "3822");
}

TEST(CborTest, BytesMayBeAnArrayOfIntegers) {
    EXPECT_EQ(decode_hex("8301181818ff").value().as_bytes_or_integers().value(), from_hex("0118ff"));
    EXPECT_EQ(decode_hex("430118ff").value().as_bytes_or_integers().value(), from_hex("0118ff"));
    EXPECT_FALSE(decode_hex("81190100").value().as_bytes_or_integers());
    EXPECT_FALSE(decode_hex("8120").value().as_bytes_or_integers());
    EXPECT_FALSE(decode_hex("6161").value().as_bytes_or_integers());
    EXPECT_EQ(hex_encode(encode(integers_of_bytes(from_hex("0118ff")))), "8301181818ff");
}

TEST(CborTest, TheWriterWritesAnNsmReply) {
    Writer writer;
    writer.map(1).text("GetRandom").map(1).text("random").bytes(from_hex("aabb"));
    EXPECT_EQ(hex_encode(writer.view()), "a169" + hex_encode(as_byte_view("GetRandom")) + "a166" +
                                             hex_encode(as_byte_view("random")) + "42aabb");
}

TEST(CborTest, TheWriterWritesIndefiniteLengths) {
    Writer writer;
    writer.indefinite_map()
        .text("a")
        .indefinite_array()
        .integer(-1)
        .tag(1)
        .boolean(true)
        .end_indefinite()
        .end_indefinite();
    EXPECT_EQ(hex_encode(writer.view()), "bf61619f20c1f5ffff");
}

TEST(CborTest, LargeStringsHaveWideHeads) {
    for (const size_t length : {23U, 24U, 255U, 256U, 65535U, 65536U}) {
        const Bytes encoded = encode(Value::bytes(Bytes(length, 7)));
        EXPECT_EQ(decode(encoded, {.bytes = 100000}).value().as_bytes().value().size(), length);
    }
    EXPECT_EQ(hex_encode(ByteView(encode(Value::bytes(Bytes(256, 7)))).first(3)), "590100");
}

}  // namespace
}  // namespace alcove::codec::cbor

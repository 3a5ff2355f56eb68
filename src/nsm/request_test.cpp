// SPDX-License-Identifier: Apache-2.0
#include "nsm/request.hpp"

#include <gtest/gtest.h>

#include "codec/cbor_writer.hpp"
#include "codec/hex.hpp"

namespace alcove::nsm {
namespace {

using codec::cbor::Writer;

Bytes hex(std::string_view digits) {
    return codec::hex_decode(digits).value();
}

template <typename T>
T decoded(ByteView encoded) {
    const auto result = decode_request(encoded);
    const auto* request = std::get_if<Request>(&result);
    if (request == nullptr || !std::holds_alternative<T>(*request)) {
        ADD_FAILURE() << "not the request that was expected: " << codec::hex_encode(encoded);
        return {};
    }
    return std::get<T>(*request);
}

NsmStatus refused(ByteView encoded) {
    const auto result = decode_request(encoded);
    const auto* status = std::get_if<NsmStatus>(&result);
    EXPECT_NE(status, nullptr) << "accepted: " << codec::hex_encode(encoded);
    return status != nullptr ? *status : NsmStatus::Success;
}

// The bytes a serde client sends.
TEST(NsmRequest, IsDecodedFromSerdesEncoding) {
    EXPECT_EQ(decoded<DescribePCR>(hex("a16b4465736372696265504352a165696e64657803")).index, 3U);
    EXPECT_EQ(decoded<LockPCR>(hex("a1674c6f636b504352a165696e64657810")).index, 16U);
    EXPECT_EQ(decoded<LockPCRs>(hex("a1684c6f636b50435273a16572616e67651820")).range, 32U);
    const auto extend = decoded<ExtendPCR>(hex("a169457874656e64504352a265696e646578106464617461430a0b0c"));
    EXPECT_EQ(extend.index, 16U);
    EXPECT_EQ(extend.data, (Bytes{10, 11, 12}));
    decoded<DescribeNSM>(hex("6b44657363726962654e534d"));
    decoded<GetRandom>(hex("6947657452616e646f6d"));
}

TEST(NsmRequest, FieldsOfAttestationMayBeNullOrMissingOrEmpty) {
    Writer writer;
    writer.map(1).text("Attestation").map(2).text("nonce").bytes({}).text("user_data").null();

    const auto request = decoded<Attestation>(writer.view());

    EXPECT_FALSE(request.user_data);
    EXPECT_FALSE(request.public_key);
    EXPECT_EQ(request.nonce, Bytes{});
}

TEST(NsmRequest, AnyWidthOrderLengthAndTextIsTaken) {
    Writer wide;
    wide.indefinite_map().text("ExtendPCR").indefinite_map();
    wide.text("unknown").array(0).text("data").text("abc").text("index").raw(hex("1b0000000000000010"));
    wide.end_indefinite().end_indefinite();
    Writer twice;
    twice.map(1).text("LockPCR").map(2).text("index").unsigned_integer(17).text("index").unsigned_integer(18);

    EXPECT_EQ(decoded<ExtendPCR>(wide.view()).index, 16U);
    EXPECT_EQ(decoded<ExtendPCR>(wide.view()).data, to_bytes(as_byte_view("abc")));
    EXPECT_EQ(decoded<LockPCR>(twice.view()).index, 17U);
}

TEST(NsmRequest, LargeNumbersAreKeptWhole) {
    EXPECT_EQ(decoded<DescribePCR>(hex("a16b4465736372696265504352a165696e6465781b0000000100000000")).index,
              0x100000000U);
}

TEST(NsmRequest, WhatIsNoRequestIsAnInvalidOperation) {
    const std::string_view cases[] = {
        "",
        "00",
        "f6",
        "a0",
        "80",
        "6b44657363726962654e53",                              // cut
        "6b44657363726962654e534d00",                          // a byte too many
        "6744657363726962",                                    // an unknown name
        "a16b44657363726962654e534da0",                        // a name without fields, as a map
        "6b4465736372696265504352",                            // one with fields, bare
        "a16b4465736372696265504352a0",                        // no index
        "a16b4465736372696265504352a165696e64657820",          // a negative one
        "a16b4465736372696265504352a165696e6465786133",        // text
        "a16b446573637269626550435203",                        // fields that are no map
        "a169457874656e64504352a165696e64657810",              // no data
        "a26947657452616e646f6da06b44657363726962654e534da0",  // two requests
        "a1036b",
    };

    for (const auto& digits : cases)
        EXPECT_EQ(refused(hex(digits)), NsmStatus::InvalidOperation) << digits;
}

TEST(NsmRequest, AttestationOfSomethingElseIsAnInvalidOperation) {
    Writer writer;
    writer.map(1).text("Attestation").map(1).text("nonce").unsigned_integer(1);

    EXPECT_EQ(refused(writer.view()), NsmStatus::InvalidOperation);
}

TEST(NsmRequest, TheLimitIsTheReferences) {
    const auto of_size = [](size_t data) {
        Writer writer;
        writer.map(1)
            .text("ExtendPCR")
            .map(2)
            .text("index")
            .unsigned_integer(16)
            .text("data")
            .bytes(Bytes(data, 0));
        return to_bytes(writer.view());
    };
    const size_t overhead = of_size(3000).size() - 3000;

    EXPECT_EQ(decoded<ExtendPCR>(of_size(4096 - overhead)).data.size(), 4096 - overhead);
    EXPECT_EQ(refused(of_size(4097 - overhead)), NsmStatus::InputTooLarge);
}

// Containers that claim more than there is, and deep nesting: bounded, not followed.
TEST(NsmRequest, LyingLengthsAreRefused) {
    for (const auto* digits :
         {"bb7fffffffffffffff", "9b7fffffffffffffff", "5b7fffffffffffffff", "a15b7fffffffffffffff"})
        EXPECT_EQ(refused(hex(digits)), NsmStatus::InvalidOperation);
    EXPECT_EQ(refused(Bytes(4096, 0x81)), NsmStatus::InvalidOperation);
    EXPECT_EQ(refused(Bytes(4096, 0xa1)), NsmStatus::InvalidOperation);
}

}  // namespace
}  // namespace alcove::nsm

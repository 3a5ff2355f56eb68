// SPDX-License-Identifier: Apache-2.0
#include "attestation/document.hpp"

#include <gtest/gtest.h>

#include "attestation/test_chain.hpp"
#include "codec/cbor_writer.hpp"

namespace alcove::attestation {
namespace {

namespace cbor = codec::cbor;
using cbor::Value;

class DocumentTest : public testing::Test {
  protected:
    Result<Document> parse(ByteView payload, FieldLimit limit = FieldLimit::Device) {
        auto envelope = TRY(parse_envelope(chain.sign(payload)));
        return parse_payload(std::move(envelope), limit);
    }
    Result<Document> parse(const cbor::Map& payload, FieldLimit limit = FieldLimit::Device) {
        return parse(cbor::encode(Value::map(payload)), limit);
    }
    // The error of a payload with one field replaced.
    Error error_with(std::string_view field, Value value, FieldLimit limit = FieldLimit::Device) {
        const auto parsed = parse(chain.payload(field, std::move(value)), limit);
        return parsed ? Error(ErrorCode::Internal, "accepted: " + std::string(field)) : parsed.error();
    }

    const TestChain chain = TestChain::make();
};

TEST_F(DocumentTest, ComesBackAsItWasMade) {
    const Bytes user_data = {1, 2};
    const Bytes public_key = {3};

    auto envelope = parse_envelope(
        chain.document({.user_data = user_data, .nonce = ByteView{}, .public_key = public_key}));
    ASSERT_TRUE(envelope) << envelope.error().to_string();
    const auto document = parse_payload(std::move(*envelope));

    ASSERT_TRUE(document) << document.error().to_string();
    EXPECT_EQ(document->module_id, "i-test-enc0");
    EXPECT_EQ(document->timestamp(), TestChain::kNow);
    EXPECT_EQ(document->pcrs.size(), 16U);
    EXPECT_EQ(document->pcrs.at(4), Bytes(48, 0x14));
    EXPECT_EQ(document->certificate, chain.leaf);
    EXPECT_EQ(document->cabundle, chain.bundle);
    EXPECT_EQ(document->user_data, user_data);
    EXPECT_EQ(document->public_key, public_key);
    EXPECT_EQ(document->nonce, Bytes{});
    EXPECT_FALSE(document->is_debug());
}

// nitro.md 4.6: the bytes real documents begin with, nine pairs in this order, 96 bytes of signature.
TEST_F(DocumentTest, HasTheReferencesShape) {
    const auto encoded = chain.document();
    const auto envelope = parse_envelope(encoded).value();
    const auto payload = cbor::decode(envelope.payload).value();

    EXPECT_EQ(Bytes(encoded.begin(), encoded.begin() + 8),
              (Bytes{0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x59}));
    EXPECT_EQ(envelope.payload.front(), 0xa9);
    EXPECT_EQ(envelope.signature.size(), 96U);
    std::vector<std::string> names;
    for (const auto& entry : payload.as_map().value()->entries())
        names.emplace_back(*entry.key.as_text());
    EXPECT_EQ(names, (std::vector<std::string>{"module_id", "digest", "timestamp", "pcrs", "certificate",
                                               "cabundle", "public_key", "user_data", "nonce"}));
    EXPECT_TRUE(payload.as_map().value()->find("nonce")->is_null());
}

TEST_F(DocumentTest, HasEveryLockedPcrAndNoOther) {
    auto bank = TestChain::pcrs();
    ASSERT_EQ(bank.extend(16, as_byte_view("x")), NsmStatus::Success);
    ASSERT_EQ(bank.lock(20), NsmStatus::Success);

    const auto document = parse_payload(parse_envelope(chain.document({}, bank)).value()).value();

    EXPECT_EQ(document.pcrs.size(), 17U);
    EXPECT_FALSE(document.pcrs.contains(16));
    EXPECT_TRUE(document.pcrs.contains(20));
}

// nitro.md 4.5: with everything at its largest a reply still fits.
TEST_F(DocumentTest, TheLargestFitsTheGuestsBuffer) {
    auto bank = TestChain::pcrs();
    ASSERT_EQ(bank.lock_below(32), NsmStatus::Success);
    const Bytes largest(1024, 0xff);

    const auto encoded =
        chain.document({.user_data = largest, .nonce = largest, .public_key = largest}, bank);

    EXPECT_LT(encoded.size(), 9000U);
    EXPECT_TRUE(parse_payload(parse_envelope(encoded).value()));
}

TEST_F(DocumentTest, AnIndefiniteMapInAnotherOrderIsTheSame) {
    const auto good = cbor::decode(parse_envelope(chain.document()).value().payload).value();
    const auto entries = good.as_map().value()->entries();
    cbor::Writer writer;
    writer.indefinite_map();
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry)
        writer.value(entry->key).value(entry->value);
    writer.end_indefinite();

    const auto document = parse(writer.view());

    ASSERT_TRUE(document) << document.error().to_string();
    EXPECT_EQ(document->module_id, "i-test-enc0");
}

TEST_F(DocumentTest, AbsentOptionalFieldsCountAsNull) {
    const auto document = parse(chain.payload_without("nonce"));

    ASSERT_TRUE(document) << document.error().to_string();
    EXPECT_FALSE(document->nonce);
}

TEST_F(DocumentTest, EveryMandatoryFieldMustBeThere) {
    for (const auto* field : {"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"}) {
        const auto document = parse(chain.payload_without(field));

        ASSERT_FALSE(document) << field;
        EXPECT_EQ(document.error().code(), ErrorCode::DocumentField);
        EXPECT_NE(document.error().to_string().find(field), std::string::npos);
    }
}

TEST_F(DocumentTest, FieldsOfAnotherTypeAreRefused) {
    for (const auto* field : {"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle",
                              "public_key", "user_data", "nonce"})
        for (const auto& value : {Value::boolean(true), Value::integer(-1), Value::array({Value::null()})})
            EXPECT_EQ(error_with(field, value).code(), ErrorCode::DocumentField)
                << field << ' ' << value.kind();
}

TEST_F(DocumentTest, FieldsAgainstARuleAreRefused) {
    const auto pcrs = [](uint64_t index, size_t size) {
        cbor::Map map;
        map.add(Value::unsigned_integer(index), Value::bytes(Bytes(size, 1)));
        return Value::map(map);
    };
    cbor::Map too_many;
    for (uint64_t index = 0; index < 33; ++index)
        too_many.add(Value::unsigned_integer(index), Value::bytes(Bytes(48, 1)));

    const std::pair<const char*, Value> cases[] = {
        {"module_id", Value::text("")},
        {"module_id", Value::text(std::string(513, 'x'))},
        {"digest", Value::text("SHA256")},
        {"timestamp", Value::unsigned_integer(0)},
        {"timestamp", Value::unsigned_integer(UINT64_MAX)},
        {"pcrs", Value::map({})},
        {"pcrs", Value::map(too_many)},
        {"pcrs", pcrs(32, 48)},
        {"pcrs", pcrs(0, 47)},
        {"pcrs", pcrs(0, 0)},
        {"certificate", Value::bytes({})},
        {"certificate", Value::bytes(Bytes(1025, 1))},
        {"cabundle", Value::array({})},
        {"cabundle", Value::array({Value::bytes({})})},
        {"cabundle", Value::array({Value::bytes(Bytes(1025, 1))})},
        {"public_key", Value::bytes({})},
        {"public_key", Value::bytes(Bytes(1025, 1))},
        {"user_data", Value::bytes(Bytes(1025, 1))},
        {"nonce", Value::bytes(Bytes(1025, 1))},
        {"another", Value::null()},
    };

    for (const auto& [field, value] : cases)
        EXPECT_EQ(error_with(field, value).code(), ErrorCode::DocumentField) << field;
}

TEST_F(DocumentTest, OtherPcrSizesAreTaken) {
    cbor::Map pcrs;
    pcrs.add(Value::unsigned_integer(0), Value::bytes(Bytes(32, 1)));
    pcrs.add(Value::unsigned_integer(31), Value::bytes(Bytes(64, 1)));

    EXPECT_TRUE(parse(chain.payload("pcrs", Value::map(pcrs))));
}

TEST_F(DocumentTest, TheDocumentedLimitIsStricter) {
    const auto longer = Value::bytes(Bytes(513, 1));
    const auto fitting = Value::bytes(Bytes(512, 1));

    for (const auto* field : {"user_data", "nonce"}) {
        EXPECT_EQ(error_with(field, longer, FieldLimit::Documented).code(), ErrorCode::DocumentField);
        EXPECT_TRUE(parse(chain.payload(field, longer), FieldLimit::Device));
        EXPECT_TRUE(parse(chain.payload(field, fitting), FieldLimit::Documented));
    }
}

TEST_F(DocumentTest, WhatIsNoPayloadIsMalformed) {
    auto trailing = cbor::encode(Value::map(chain.payload("nonce", Value::null())));
    trailing.push_back(0xf6);
    cbor::Map twice = chain.payload("nonce", Value::null());
    twice.add("nonce", Value::null());

    EXPECT_EQ(parse(Bytes{}).error().code(), ErrorCode::DocumentMalformed);
    EXPECT_EQ(parse(Bytes{0x80}).error().code(), ErrorCode::DocumentMalformed);
    EXPECT_EQ(parse(Bytes(kMaxPayloadSize + 1, 0)).error().code(), ErrorCode::DocumentMalformed);
    EXPECT_EQ(parse(trailing).error().code(), ErrorCode::DocumentMalformed);
    EXPECT_EQ(parse(twice).error().code(), ErrorCode::DocumentMalformed);
}

TEST_F(DocumentTest, AnotherAlgorithmIsMalformed) {
    const auto p256 = PrivateKey::generate(crypto::Curve::P256).value();

    EXPECT_EQ(parse_envelope(crypto::cose_sign1(as_byte_view("x"), p256).value()).error().code(),
              ErrorCode::DocumentMalformed);
}

TEST_F(DocumentTest, ZerosOrNothingInPcrZeroMeanDebug) {
    auto document = parse_payload(parse_envelope(chain.document()).value()).value();

    document.pcrs[0] = Bytes(48, 0);
    EXPECT_TRUE(document.is_debug());
    document.pcrs.erase(0);
    EXPECT_TRUE(document.is_debug());
}

}  // namespace
}  // namespace alcove::attestation

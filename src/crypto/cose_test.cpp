// SPDX-License-Identifier: Apache-2.0
#include "crypto/cose.hpp"

#include <gtest/gtest.h>

#include "codec/cbor_writer.hpp"
#include "crypto/hex_test.hpp"

namespace alcove::crypto {
namespace {

namespace cbor = codec::cbor;

struct Envelope {
    Bytes protected_header = hex("a1013822");
    Bytes unprotected_header = hex("a0");
    Bytes payload = {'p'};
    Bytes signature = Bytes(96, 1);

    Bytes encode() const {
        cbor::Writer writer;
        writer.array(4).bytes(protected_header).raw(unprotected_header).bytes(payload).bytes(signature);
        return std::move(writer).take();
    }
};

class CoseOnEveryCurve : public testing::TestWithParam<Curve> {};
INSTANTIATE_TEST_SUITE_P(Cose, CoseOnEveryCurve, testing::Values(Curve::P256, Curve::P384, Curve::P521));

TEST_P(CoseOnEveryCurve, WhatIsSignedVerifiesTaggedOrNot) {
    const auto key = PrivateKey::generate(GetParam()).value();

    const auto untagged = CoseSign1::parse(cose_sign1(as_byte_view("payload"), key).value());
    const auto tagged = CoseSign1::parse(cose_sign1(as_byte_view("payload"), key, CoseTag::Tagged).value());

    ASSERT_TRUE(untagged) << untagged.error().to_string();
    ASSERT_TRUE(tagged) << tagged.error().to_string();
    EXPECT_EQ(untagged->algorithm, cose_algorithm_of(GetParam()));
    EXPECT_EQ(as_text(untagged->payload), "payload");
    EXPECT_TRUE(untagged->verify(key.public_key()));
    EXPECT_TRUE(tagged->verify(key.public_key()));
}

// nitro.md 4.6: what real documents begin with.
TEST(Cose, BeginsAsRealDocumentsDo) {
    const auto key = PrivateKey::generate(Curve::P384).value();

    const auto encoded = cose_sign1(Bytes(4096, 0), key).value();

    EXPECT_EQ(codec::hex_encode(ByteView(encoded).first(10)), "8444a1013822a0591000");
}

TEST(Cose, AnotherKeyOrAChangedPartDoesNotVerify) {
    const auto key = PrivateKey::generate(Curve::P384).value();
    const auto other = PrivateKey::generate(Curve::P384).value();
    const auto smaller = PrivateKey::generate(Curve::P256).value();
    const auto good = CoseSign1::parse(cose_sign1(as_byte_view("payload"), key).value()).value();

    auto changed_payload = good;
    changed_payload.payload[0] ^= 1;
    auto changed_header = good;
    changed_header.protected_header.push_back(0);

    EXPECT_FALSE(good.verify(other.public_key()));
    EXPECT_FALSE(good.verify(smaller.public_key()));
    EXPECT_FALSE(changed_payload.verify(key.public_key()));
    EXPECT_FALSE(changed_header.verify(key.public_key()));
}

// RFC 9052 lets the header be encoded otherwise; what was signed counts.
TEST(Cose, AHeaderOfIndefiniteLengthVerifies) {
    const auto key = PrivateKey::generate(Curve::P384).value();
    Envelope envelope{.protected_header = hex("bf013822ff")};
    cbor::Writer to_sign;
    to_sign.array(4).text("Signature1").bytes(envelope.protected_header).bytes({}).bytes(envelope.payload);
    envelope.signature = key.sign(to_sign.view()).value();

    const auto parsed = CoseSign1::parse(envelope.encode());

    ASSERT_TRUE(parsed) << parsed.error().to_string();
    EXPECT_TRUE(parsed->verify(key.public_key()));
}

TEST(Cose, MalformedEnvelopesAreRefused) {
    Envelope good;
    ASSERT_TRUE(CoseSign1::parse(good.encode()));
    const auto whole = good.encode();
    auto trailing = whole;
    trailing.push_back(0);
    Bytes wrong_tag = hex("d1");
    wrong_tag.insert(wrong_tag.end(), whole.begin(), whole.end());

    const Bytes cases[] = {
        {},
        hex("83"),
        hex("a0"),
        trailing,
        wrong_tag,
        Bytes(whole.begin(), whole.end() - 1),
        Envelope{.protected_header = hex("a0")}.encode(),              // no algorithm
        Envelope{.protected_header = hex("a1013824")}.encode(),        // -37, PS256
        Envelope{.protected_header = hex("a101f6")}.encode(),          // no number
        Envelope{.protected_header = hex("a201382202810a")}.encode(),  // critical parameters
        Envelope{.protected_header = {}}.encode(),
        Envelope{.unprotected_header = hex("80")}.encode(),
    };

    for (const auto& encoded : cases)
        EXPECT_FALSE(CoseSign1::parse(encoded)) << codec::hex_encode(encoded);
}

TEST(Cose, ADetachedPayloadIsRefused) {
    cbor::Writer writer;
    writer.array(4).bytes(hex("a1013822")).map(0).null().bytes(Bytes(96, 1));

    EXPECT_FALSE(CoseSign1::parse(writer.view()));
}

}  // namespace
}  // namespace alcove::crypto

// SPDX-License-Identifier: Apache-2.0
#include "eif/signature.hpp"

#include <gtest/gtest.h>

#include "codec/cbor.hpp"
#include "codec/cbor_writer.hpp"
#include "eif/test_support.hpp"

namespace alcove::eif {
namespace {

namespace cbor = codec::cbor;
using std::chrono::hours;

const Pcr kPcr0 = pcr_of_text("an image");

Bytes section_of(const Bytes& certificate, const Bytes& envelope) {
    cbor::Writer writer;
    writer.array(1).map(2).text("signing_certificate").bytes(certificate).text("signature").bytes(envelope);
    return std::move(writer).take();
}

Bytes pem_of(const TestSigner& signer) {
    return to_bytes(as_byte_view(signer.certificate.to_pem().value()));
}

Bytes envelope_over(const cbor::Value& payload, const TestSigner& signer) {
    return crypto::cose_sign1(cbor::encode(payload), signer.key).value();
}

cbor::Value usual_payload() {
    cbor::Map map;
    map.add("register_index", cbor::Value::unsigned_integer(0))
        .add("register_value", cbor::Value::bytes(kPcr0));
    return cbor::Value::map(map);
}

ErrorCode verify_code(const Result<void>& verified) {
    return verified ? ErrorCode{} : verified.error().code();
}

TEST(SignatureTest, EachCurveSignsAndVerifies) {
    for (const auto curve : {crypto::Curve::P256, crypto::Curve::P384, crypto::Curve::P521}) {
        const TestSigner signer = TestSigner::make(curve);
        const Bytes section = make_signature_section(kPcr0, signer.view()).value();

        const auto signature = ImageSignature::parse(section);

        ASSERT_TRUE(signature) << signature.error().to_string();
        EXPECT_TRUE(signature->verify(kPcr0, test_time()));
        EXPECT_EQ(signature->pcr0, kPcr0);
        EXPECT_EQ(signature->pcr8(), pcr_of_content(signer.certificate.der()));
    }
}

TEST(SignatureTest, TheSectionIsEncodedAsTheReferenceBuilderDoes) {
    const TestSigner signer = TestSigner::make();
    const cbor::Value section =
        cbor::decode(make_signature_section(kPcr0, signer.view()).value(), {.items = 32768}).value();

    const cbor::Map& map = *section.as_array().value().front().as_map().value();
    EXPECT_EQ(section.as_array().value().size(), 1U);
    ASSERT_EQ(map.size(), 2U);
    EXPECT_EQ(map.entries()[0].key.as_text().value(), "signing_certificate");
    EXPECT_EQ(map.entries()[0].value.kind(), "array");
    EXPECT_EQ(map.entries()[1].key.as_text().value(), "signature");
    const Bytes envelope = map.entries()[1].value.as_bytes_or_integers().value();
    EXPECT_EQ(envelope[0], 0x84);  // untagged
    EXPECT_EQ(Bytes(envelope.begin() + 1, envelope.begin() + 6), (Bytes{0x44, 0xA1, 0x01, 0x38, 0x22}));
}

TEST(SignatureTest, ByteStringsAreReadAsWell) {
    const TestSigner signer = TestSigner::make();
    const Bytes envelope = envelope_over(usual_payload(), signer);
    EXPECT_TRUE(
        ImageSignature::parse(section_of(pem_of(signer), envelope)).value().verify(kPcr0, test_time()));
}

TEST(SignatureTest, AnotherPcr0IsRefused) {
    const TestSigner signer = TestSigner::make();
    const auto signature =
        ImageSignature::parse(make_signature_section(kPcr0, signer.view()).value()).value();
    EXPECT_EQ(verify_code(signature.verify(kZeroPcr, test_time())), ErrorCode::ImageSignature);
}

TEST(SignatureTest, AnotherCertificateIsRefused) {
    const TestSigner signer = TestSigner::make();
    const TestSigner other = TestSigner::make();
    auto signature = ImageSignature::parse(make_signature_section(kPcr0, signer.view()).value()).value();
    signature.certificate = other.certificate;
    EXPECT_EQ(verify_code(signature.verify(kPcr0, test_time())), ErrorCode::ImageSignature);
}

TEST(SignatureTest, TheCertificateHasToBeValidAtTheTime) {
    const TestSigner signer = TestSigner::make();
    const auto signature =
        ImageSignature::parse(make_signature_section(kPcr0, signer.view()).value()).value();
    EXPECT_TRUE(signature.verify(kPcr0, test_time() + hours(5 * 24)));
    EXPECT_TRUE(signature.verify(kPcr0, test_time() - hours(5 * 24)));
    EXPECT_EQ(verify_code(signature.verify(kPcr0, test_time() + hours(5 * 24 + 1))),
              ErrorCode::ImageCertificateExpired);
    EXPECT_EQ(verify_code(signature.verify(kPcr0, test_time() - hours(5 * 24 + 1))),
              ErrorCode::ImageCertificateExpired);
}

TEST(SignatureTest, AKeyThatIsNotTheCertificatesDoesNotSign) {
    const TestSigner signer = TestSigner::make();
    const TestSigner other = TestSigner::make();
    EXPECT_EQ(make_signature_section(kPcr0, {signer.certificate, other.key}).error().code(),
              ErrorCode::KeyInvalid);
}

TEST(SignatureTest, PayloadsOfAnotherKindAreRefused) {
    const TestSigner signer = TestSigner::make();
    const auto parse_code = [&](const cbor::Value& payload) {
        const auto parsed = ImageSignature::parse(section_of(pem_of(signer), envelope_over(payload, signer)));
        return parsed ? ErrorCode{} : parsed.error().code();
    };
    const auto payload_of = [](uint64_t index, const Bytes& value) {
        cbor::Map map;
        map.add("register_index", cbor::Value::unsigned_integer(index))
            .add("register_value", cbor::integers_of_bytes(value));
        return cbor::Value::map(map);
    };
    EXPECT_EQ(parse_code(payload_of(0, Bytes(48))), ErrorCode{});
    EXPECT_EQ(parse_code(payload_of(1, Bytes(48))), ErrorCode::ImageSignature);
    EXPECT_EQ(parse_code(payload_of(0, Bytes(47))), ErrorCode::ImageSignature);
    EXPECT_EQ(parse_code(payload_of(0, Bytes(49))), ErrorCode::ImageSignature);
    EXPECT_EQ(parse_code(cbor::Value::map({})), ErrorCode::ImageSignature);
    EXPECT_EQ(parse_code(cbor::Value::text("x")), ErrorCode::ImageSignature);
}

TEST(SignatureTest, SectionsOfAnotherKindAreRefused) {
    const TestSigner signer = TestSigner::make();
    const Bytes envelope = crypto::cose_sign1(as_byte_view("payload"), signer.key).value();
    const Bytes sections[] = {{},
                              {0x80},
                              {0xA0},
                              {0x81, 0xA0},
                              {0x00},
                              Bytes(40000, 0x81),
                              section_of({1, 2, 3}, envelope),
                              section_of(pem_of(signer), {0x84}),
                              section_of(pem_of(signer), envelope)};
    for (const Bytes& section : sections)
        EXPECT_EQ(ImageSignature::parse(section).error().code(), ErrorCode::ImageSignature);
}

TEST(SignatureTest, NoChangedByteOfTheEnvelopeVerifies) {
    const TestSigner signer = TestSigner::make(crypto::Curve::P256);
    const Bytes good = envelope_over(usual_payload(), signer);
    const Bytes pem = pem_of(signer);
    for (size_t index = 0; index < good.size(); ++index) {
        Bytes changed = good;
        changed[index] ^= 0x01;
        const auto signature = ImageSignature::parse(section_of(pem, changed));
        EXPECT_TRUE(!signature || !signature->verify(kPcr0, test_time())) << index;
    }
}

TEST(SignatureTest, AChangedCertificateIsAnotherPcr8) {
    const TestSigner signer = TestSigner::make();
    Bytes der = signer.certificate.der();
    der.back() ^= 1;  // its own signature, which nobody checks: it is pinned as a whole
    const std::string pem = crypto::Certificate::from_der(der).value().to_pem().value();
    const Bytes envelope = envelope_over(usual_payload(), signer);
    const auto signature = ImageSignature::parse(section_of(to_bytes(as_byte_view(pem)), envelope)).value();
    EXPECT_TRUE(signature.verify(kPcr0, test_time()));
    EXPECT_NE(signature.pcr8(), pcr_of_certificate(signer.certificate));
}

}  // namespace
}  // namespace alcove::eif

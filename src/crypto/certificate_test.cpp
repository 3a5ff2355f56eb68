// SPDX-License-Identifier: Apache-2.0
#include "crypto/certificate.hpp"

#include <gtest/gtest.h>

#include "codec/hex.hpp"

namespace alcove::crypto {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr TimePoint kIssued{seconds(1'750'000'000)};

CertificatePlan authority_plan() {
    return {.subject = {.country = "",
                        .state = "",
                        .locality = "",
                        .organization = "Test",
                        .organizational_unit = "Unit",
                        .common_name = "authority.test"},
            .not_before = kIssued,
            .not_after = kIssued + hours(24),
            .serial = {},
            .authority = true,
            .path_length = 1,
            .key_usage = {KeyUsage::digitalSignature, KeyUsage::keyCertSign, KeyUsage::cRLSign},
            .key_usage_criticality = Criticality::Critical,
            .key_identifiers = true};
}

TEST(Certificate, SaysWhatItWasPlannedToSay) {
    const auto key = PrivateKey::generate(Curve::P384).value();

    const auto certificate = issue_certificate(authority_plan(), key.public_key(), key, nullptr).value();

    EXPECT_EQ(certificate.subject(), authority_plan().subject);
    EXPECT_EQ(certificate.issuer(), authority_plan().subject);
    EXPECT_EQ(certificate.not_before(), kIssued);
    EXPECT_EQ(certificate.not_after(), kIssued + hours(24));
    EXPECT_TRUE(certificate.is_authority());
    EXPECT_EQ(certificate.path_length(), 1U);
    EXPECT_TRUE(certificate.allows(KeyUsage::keyCertSign));
    EXPECT_FALSE(certificate.allows(KeyUsage::nonRepudiation));
    EXPECT_EQ(certificate.public_key().value(), key.public_key());
    EXPECT_EQ(certificate.serial().size(), 16U);
    EXPECT_EQ(certificate.subject_text(), "CN=authority.test,OU=Unit,O=Test");
}

TEST(Certificate, ALeafHasItsSerialAndIsNoAuthority) {
    const auto key = PrivateKey::generate(Curve::P384).value();
    const auto authority = issue_certificate(authority_plan(), key.public_key(), key, nullptr).value();
    const auto leaf_key = PrivateKey::generate(Curve::P384).value();
    CertificatePlan plan = authority_plan();
    plan.subject.common_name = "leaf.test";
    plan.authority = false;
    plan.path_length.reset();
    plan.serial = {1, 2, 3};
    plan.key_usage = {KeyUsage::digitalSignature, KeyUsage::nonRepudiation};
    plan.key_usage_criticality = Criticality::NotCritical;

    const auto leaf = issue_certificate(plan, leaf_key.public_key(), key, &authority).value();

    EXPECT_FALSE(leaf.is_authority());
    EXPECT_FALSE(leaf.path_length());
    EXPECT_EQ(leaf.serial(), (Bytes{1, 2, 3}));
    EXPECT_EQ(leaf.issuer(), authority.subject());
    EXPECT_TRUE(leaf.allows(KeyUsage::digitalSignature));
    EXPECT_FALSE(leaf.allows(KeyUsage::keyCertSign));
}

// RFC 5280, 4.1.2.5: years from 2050 on are written as GeneralizedTime.
TEST(Certificate, TimesBehindTwentyFiftyComeBack) {
    const auto key = PrivateKey::generate(Curve::P384).value();
    auto plan = authority_plan();
    plan.not_after = kIssued + hours(24 * 365 * 30);

    const auto certificate = issue_certificate(plan, key.public_key(), key, nullptr).value();

    EXPECT_EQ(certificate.not_after(), plan.not_after);
}

TEST(Certificate, ComesBackFromItsEncodings) {
    const auto key = PrivateKey::generate(Curve::P256).value();
    const auto certificate = issue_certificate(authority_plan(), key.public_key(), key, nullptr).value();
    const auto pem = certificate.to_pem().value();

    EXPECT_EQ(Certificate::from_der(certificate.der()).value(), certificate);
    EXPECT_EQ(Certificate::from_pem(pem).value(), certificate);
    EXPECT_EQ(Certificate::all_from_pem(pem + "text between\n" + pem).value().size(), 2U);
}

TEST(Certificate, WhatIsNoCertificateIsRefused) {
    const auto key = PrivateKey::generate(Curve::P256).value();
    const auto certificate = issue_certificate(authority_plan(), key.public_key(), key, nullptr).value();
    auto trailing = certificate.der();
    trailing.push_back(0);
    const auto pem = certificate.to_pem().value();

    EXPECT_EQ(Certificate::from_der({}).error().code(), ErrorCode::ChainInvalid);
    EXPECT_EQ(Certificate::from_der(trailing).error().code(), ErrorCode::ChainInvalid);
    EXPECT_EQ(Certificate::from_der(ByteView(certificate.der()).first(100)).error().code(),
              ErrorCode::ChainInvalid);
    EXPECT_EQ(Certificate::from_pem("nothing").error().code(), ErrorCode::ChainInvalid);
    EXPECT_EQ(Certificate::all_from_pem(pem + pem.substr(0, pem.size() / 2)).error().code(),
              ErrorCode::ChainInvalid);
}

TEST(Certificate, FingerprintsAreReadWithAndWithoutColons) {
    const auto key = PrivateKey::generate(Curve::P256).value();
    const auto certificate = issue_certificate(authority_plan(), key.public_key(), key, nullptr).value();
    const auto digits = codec::hex_encode(certificate.fingerprint());
    std::string with_colons;
    for (size_t i = 0; i < digits.size(); i += 2)
        with_colons += (i > 0 ? ":" : "") + digits.substr(i, 2);

    EXPECT_EQ(parse_fingerprint(digits).value(), certificate.fingerprint());
    EXPECT_EQ(parse_fingerprint(with_colons).value(), certificate.fingerprint());
    EXPECT_FALSE(parse_fingerprint("64:1a"));
    EXPECT_FALSE(parse_fingerprint("no digits"));
}

}  // namespace
}  // namespace alcove::crypto

// SPDX-License-Identifier: Apache-2.0
#include "crypto/rsa3.hpp"

#include <gtest/gtest.h>

#include "crypto/key.hpp"

namespace alcove::crypto {
namespace {

const Rsa3PrivateKey& test_key() {
    static const Rsa3PrivateKey key = Rsa3PrivateKey::generate().value();
    return key;
}
const Sha256Value kDigest = sha256(as_byte_view("an enclave"));

TEST(Rsa3, EncodesAsTheRfcSays) {
    const auto encoded = pkcs1_encoded(kDigest);
    EXPECT_EQ(encoded[0], 0);
    EXPECT_EQ(encoded[1], 1);
    EXPECT_TRUE(std::all_of(encoded.begin() + 2, encoded.begin() + 332, [](uint8_t b) { return b == 0xff; }));
    EXPECT_EQ(encoded[332], 0);
    EXPECT_EQ(encoded[333], 0x30);
    EXPECT_TRUE(std::equal(kDigest.begin(), kDigest.end(), encoded.end() - 32));
}

TEST(Rsa3, WhatWasSignedVerifies) {
    const auto signature = test_key().sign(kDigest).value();
    EXPECT_TRUE(verify_rsa3(test_key().modulus(), signature, kDigest));
    EXPECT_FALSE(verify_rsa3(test_key().modulus(), signature, sha256(as_byte_view("another"))));
}

TEST(Rsa3, EachPartOfTheSignatureCounts) {
    const auto good = test_key().sign(kDigest).value();
    for (Rsa3072Number Rsa3Signature::*part :
         {&Rsa3Signature::signature, &Rsa3Signature::q1, &Rsa3Signature::q2}) {
        auto changed = good;
        (changed.*part)[5] ^= 1;
        EXPECT_FALSE(verify_rsa3(test_key().modulus(), changed, kDigest));
        (changed.*part).fill(0);
        EXPECT_FALSE(verify_rsa3(test_key().modulus(), changed, kDigest));
        (changed.*part).fill(0xff);
        EXPECT_FALSE(verify_rsa3(test_key().modulus(), changed, kDigest));
    }
    auto modulus = test_key().modulus();
    modulus[0] ^= 2;
    EXPECT_FALSE(verify_rsa3(modulus, good, kDigest));
}

// s + n has the same cube modulo n.
TEST(Rsa3, ASignatureBeyondTheModulusIsRefused) {
    auto signature = test_key().sign(kDigest).value();
    unsigned carry = 0;
    for (size_t i = 0; i < signature.signature.size(); ++i) {
        carry += unsigned{signature.signature[i]} + test_key().modulus()[i];
        signature.signature[i] = static_cast<uint8_t>(carry);
        carry >>= 8;
    }
    EXPECT_FALSE(verify_rsa3(test_key().modulus(), signature, kDigest));
}

TEST(Rsa3, ADegenerateModulusVerifiesNothing) {
    const Rsa3Signature nothing{};
    EXPECT_FALSE(verify_rsa3({}, nothing, kDigest));
    EXPECT_FALSE(verify_rsa3({1}, nothing, kDigest));
}

TEST(Rsa3, ComesBackFromPem) {
    const auto pem = test_key().to_pem().value();
    const auto again = Rsa3PrivateKey::from_pem(as_text(pem.view()));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->modulus(), test_key().modulus());
}

TEST(Rsa3, OtherKeysAreRefused) {
    const auto curve = PrivateKey::generate(Curve::P256).value();
    const auto pem = curve.to_pem().value();
    EXPECT_EQ(Rsa3PrivateKey::from_pem(as_text(pem.view())).error().code(), ErrorCode::KeyInvalid);
    EXPECT_EQ(Rsa3PrivateKey::from_pem("nonsense").error().code(), ErrorCode::KeyInvalid);
}

}  // namespace
}  // namespace alcove::crypto

// SPDX-License-Identifier: Apache-2.0
#include "crypto/key.hpp"

#include <gtest/gtest.h>

#include "crypto/hex_test.hpp"

namespace alcove::crypto {
namespace {

// RFC 6979, A.2.5 and A.2.6: the public points and the signatures of "sample" and "test".
constexpr auto kP256Info =
    "3059301306072a8648ce3d020106082a8648ce3d030107034200"
    "0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
    "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299";
constexpr auto kP256Sample =
    "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
    "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8";
constexpr auto kP384Info =
    "3076301006072a8648ce3d020106052b81040022036200"
    "04EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13"
    "8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720";
constexpr auto kP384Sample =
    "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46"
    "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8";
constexpr auto kP384Test =
    "8203B63D3C853E8D77227FB377BCF7B7B772E97892A80F36AB775D509D7A5FEB0542A7F0812998DA8F1DD3CA3CF023DB"
    "DDD0760448D42D8A43AF45AF836FCE4DE8BE06B485E9B61B827C2F13173923E06A739F040649A667BF3B828246BAA5A5";

TEST(Key, VerifiesTheStandardsSignatures) {
    const auto p256 = PublicKey::from_der(hex(kP256Info)).value();
    const auto p384 = PublicKey::from_der(hex(kP384Info)).value();

    EXPECT_TRUE(p256.verify(as_byte_view("sample"), hex(kP256Sample)));
    EXPECT_TRUE(p384.verify(as_byte_view("sample"), hex(kP384Sample)));
    EXPECT_TRUE(p384.verify(as_byte_view("test"), hex(kP384Test)));
}

TEST(Key, RefusesAnotherMessageKeyOrShape) {
    const auto p384 = PublicKey::from_der(hex(kP384Info)).value();
    const auto other = PrivateKey::generate(Curve::P384).value();
    const auto signature = hex(kP384Sample);

    EXPECT_FALSE(p384.verify(as_byte_view("test"), signature));
    EXPECT_FALSE(other.public_key().verify(as_byte_view("sample"), signature));
    EXPECT_FALSE(p384.verify(as_byte_view("sample"), ByteView(signature).first(95)));
    EXPECT_FALSE(p384.verify(as_byte_view("sample"), Bytes(96, 0)));
    EXPECT_FALSE(p384.verify(as_byte_view("sample"), Bytes(96, 0xff)));
    EXPECT_FALSE(p384.verify(as_byte_view("sample"), {}));
}

class KeyOnEveryCurve : public testing::TestWithParam<Curve> {};
INSTANTIATE_TEST_SUITE_P(Key, KeyOnEveryCurve, testing::Values(Curve::P256, Curve::P384, Curve::P521));

TEST_P(KeyOnEveryCurve, SignsWhatItVerifies) {
    const auto key = PrivateKey::generate(GetParam()).value();

    const auto signature = key.sign(as_byte_view("message")).value();

    EXPECT_EQ(key.curve(), GetParam());
    EXPECT_EQ(signature.size(), 2 * coordinate_size(GetParam()));
    EXPECT_TRUE(key.public_key().verify(as_byte_view("message"), signature));
}

TEST_P(KeyOnEveryCurve, ComesBackFromItsEncodings) {
    const auto key = PrivateKey::generate(GetParam()).value();

    const auto from_pem = PrivateKey::from_pem(as_text(key.to_pem().value().view()));
    const auto from_der = PrivateKey::from_der(key.to_der().value().view());
    const auto public_from_pem = PublicKey::from_pem(key.public_key().to_pem().value());
    const auto public_from_der = PublicKey::from_der(key.public_key().to_der().value());

    ASSERT_TRUE(from_pem) << from_pem.error().to_string();
    ASSERT_TRUE(from_der) << from_der.error().to_string();
    EXPECT_EQ(from_pem->public_key(), key.public_key());
    EXPECT_EQ(from_der->public_key(), key.public_key());
    EXPECT_EQ(public_from_pem.value(), key.public_key());
    EXPECT_EQ(public_from_der.value(), key.public_key());
}

// `openssl ecparam -name secp384r1 -genkey` writes the parameters first and the key as SEC 1.
TEST(Key, TakesWhatTheCommandLineToolWrites) {
    constexpr auto kPem =
        "-----BEGIN EC PARAMETERS-----\n"
        "BgUrgQQAIg==\n"
        "-----END EC PARAMETERS-----\n"
        "-----BEGIN EC PRIVATE KEY-----\n"
        "MIGkAgEBBDB3JPHbjFpgGYsY4142dzwB6oQY0t2SnRZGcUNNs4JAS+elbauxeBb3\n"
        "Ptl8S6m15RGgBwYFK4EEACKhZANiAARrF2OtV1qw+yVYNghyvO8PfEwt4SEc7+Y3\n"
        "rROrLGpyJS+xkFPsfvUOVd7cNbgiQFsYsrjkBVe7RbpTWqlrfkeSMjKHlbAblhUF\n"
        "HMmixMNn3MXHaHGITrku5pknIlOGa80=\n"
        "-----END EC PRIVATE KEY-----\n";

    const auto key = PrivateKey::from_pem(kPem);

    ASSERT_TRUE(key) << key.error().to_string();
    EXPECT_EQ(key->curve(), Curve::P384);
}

TEST(Key, RefusesWhatIsNoKeyOfOurs) {
    const auto key = PrivateKey::generate(Curve::P384).value();
    auto trailing = key.public_key().to_der().value();
    trailing.push_back(0);

    EXPECT_EQ(PrivateKey::from_pem("").error().code(), ErrorCode::KeyInvalid);
    EXPECT_EQ(
        PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").error().code(),
        ErrorCode::KeyInvalid);
    EXPECT_EQ(PrivateKey::from_der(key.public_key().to_der().value()).error().code(), ErrorCode::KeyInvalid);
    EXPECT_EQ(PublicKey::from_pem(key.public_key().to_pem().value().substr(0, 80)).error().code(),
              ErrorCode::KeyInvalid);
    EXPECT_EQ(PublicKey::from_der(trailing).error().code(), ErrorCode::KeyInvalid);
    // An Ed25519 key, RFC 8410, 10.1.
    EXPECT_EQ(PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\n"
                                  "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
                                  "-----END PUBLIC KEY-----\n")
                  .error()
                  .code(),
              ErrorCode::KeyInvalid);
}

TEST(Key, AnEncryptedKeyIsRefusedWithoutAsking) {
    constexpr auto kPem =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIIBHDBXBgkqhkiG9w0BBQ0wSjApBgkqhkiG9w0BBQwwHAQI7X/pCdIOviACAggA\n"
        "MAwGCCqGSIb3DQIJBQAwHQYJYIZIAWUDBAEqBBBQ/oRrJzW9CPsg91/0emKXBIHA\n"
        "aChuP4TyTsuTN3b1MDCvpzCkf1aBt/sxZc/k3wbbGVUllhCj9H32Uh1F/8DY3RYN\n"
        "xrnrLin5VhIAd0Fh201srrkf/1xcAAYU28n0ln2dl1Y+82+KTyY52Tuf/S3dp5pl\n"
        "DH6qpGxcLkO60m2LnGHGkUa/0/RJb96cyqbGl2oIVWvTIM/J+v5FPbwhSTjUQL7o\n"
        "Ru5Bx4/MXb+F3yIAK4PMKxjHjIN5Gm9rPQ0T4qpf0/7KzDkPxeG37QOLgNHJXbWi\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n";

    EXPECT_EQ(PrivateKey::from_pem(kPem).error().code(), ErrorCode::KeyInvalid);
}

TEST(Key, ACurveGivenByParametersIsRefused) {
    constexpr auto kPem =
        "-----BEGIN PUBLIC KEY-----\n"
        "MIIBzDCCAWQGByqGSM49AgEwggFXAgEBMDwGByqGSM49AQECMQD/////////////\n"
        "/////////////////////////////v////8AAAAAAAAAAP////8wewQw////////\n"
        "//////////////////////////////////7/////AAAAAAAAAAD////8BDCzMS+n\n"
        "4j7n5JiOBWvj+C0ZGB2cbv6BQRIDFAiPUBOHWsZWOY2KLtGdKoXI7dPsKu8DFQCj\n"
        "NZJqoxmieh0AiWpnc6SCes2scwRhBKqHyiK+iwU3jrHHHvMgrXRuHTtii6ebmFn3\n"
        "QeCCVCo4VQLyXb9VKWw6VF44cnYKtzYX3kqWJixvXZ6Yv5KS3Cn49B29KJoUfOna\n"
        "MRO18LjACmCxzh1+gZ16Qx18kOoOXwIxAP//////////////////////////////\n"
        "/8djTYH0Ny3fWBoNskiwp3rs7BlqzMUpcwIBAQNiAARfUXfBaIKLd4HiqgbZihna\n"
        "x2hnecIENQcBXSmon4nz6m6+UC/0GyjFYzarqjTaW+l6Br63T0ndYDf+J22yIFRy\n"
        "n7C4laXROe0mn9nIQ1KrfC1fZ1pHUx1zvWwNw12V0yw=\n"
        "-----END PUBLIC KEY-----\n";

    EXPECT_EQ(PublicKey::from_pem(kPem).error().code(), ErrorCode::KeyInvalid);
}

}  // namespace
}  // namespace alcove::crypto

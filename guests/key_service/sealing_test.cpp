// SPDX-License-Identifier: Apache-2.0
//
// The vector was made with python3-cryptography from two fixed private keys, independently of this code.
#include "key_service/sealing.hpp"

#include <gtest/gtest.h>

#include "key_service/hex.hpp"

namespace alcove::key_service {
namespace {

constexpr char kServicePkcs8[] =
    "3081b6020100301006072a8648ce3d020106052b8104002204819e30819b02010104303370be77345b18a45a4960f30661dce428"
    "b0"
    "f5631cefb66643c7928d82b758d0cca63740f8fb4b8d1d6d11a1a64e2f79a1640362000441965839c7bddf432cbe54dbb8fc5f4a"
    "ae"
    "225cd6644dbbfd505a580a68ed01d4eb8ce66aeaf4ffbf03f754738b75d06d1bb1ff79f83b8ef1ff50f97010f2d200939bed1ff2"
    "c0"
    "5472fbde16b83f660c7df091c7af8ce572ff33953d517b1922f6";
constexpr char kServicePublicKey[] =
    "3076301006072a8648ce3d020106052b810400220362000441965839c7bddf432cbe54dbb8fc5f4aae225cd6644dbbfd505a580a"
    "68"
    "ed01d4eb8ce66aeaf4ffbf03f754738b75d06d1bb1ff79f83b8ef1ff50f97010f2d200939bed1ff2c05472fbde16b83f660c7df0"
    "91"
    "c7af8ce572ff33953d517b1922f6";
constexpr char kClientPkcs8[] =
    "3081b6020100301006072a8648ce3d020106052b8104002204819e30819b02010104306e67f12f4606c5ad9aaff0f38afa3359f3"
    "81"
    "3df18565fcb2fa730b0022f508d36c388c81837807dd5e84c98d1505f517a164036200043523977a71d95fe8adf96ca898d240f7"
    "1c"
    "c731cb6c180bb79c0f5fcceb87ce8167dbbcdd08c4fed0956aeeb729e82d81ae3f4128277f7ec3e29262e6044fce4cc1cc9342bc"
    "74"
    "74715aa9b12bdd7b6abd64adaa42e0726af0222773d2d9549211";
constexpr char kClientPublicKey[] =
    "3076301006072a8648ce3d020106052b81040022036200043523977a71d95fe8adf96ca898d240f71cc731cb6c180bb79c0f5fcc"
    "eb"
    "87ce8167dbbcdd08c4fed0956aeeb729e82d81ae3f4128277f7ec3e29262e6044fce4cc1cc9342bc7474715aa9b12bdd7b6abd64"
    "ad"
    "aa42e0726af0222773d2d9549211";
// The same point written short, and a key of another curve.
constexpr char kCompressedClientPublicKey[] =
    "3046301006072a8648ce3d020106052b81040022033200033523977a71d95fe8adf96ca898d240f71cc731cb6c180bb79c0f5fcc"
    "eb"
    "87ce8167dbbcdd08c4fed0956aeeb729e82d81";
constexpr char kP256PublicKey[] =
    "3059301306072a8648ce3d020106082a8648ce3d0301070342000451590b7a515140d2d784c85608668fdfef8c82fd1f5be52421"
    "55"
    "4a0dc3d033ede0c17da8904a727d8ae1bf36bf8a79260d012f00d4d80888d1d0bb44fda16da4";
constexpr char kVectorText[] = "a secret of the client";

Bytes octets(std::string_view text) {
    return from_hex(text).value();
}

Sealed sealed_from(std::string_view iv, std::string_view tag, std::string_view ciphertext) {
    Sealed sealed;
    const Bytes iv_bytes = octets(iv);
    const Bytes tag_bytes = octets(tag);
    std::copy(iv_bytes.begin(), iv_bytes.end(), sealed.iv.begin());
    std::copy(tag_bytes.begin(), tag_bytes.end(), sealed.tag.begin());
    sealed.ciphertext = octets(ciphertext);
    return sealed;
}

TEST(Sealing, KnownKeysHaveTheirKnownPublicKeys) {
    EXPECT_EQ(KeyPair::from_pkcs8(octets(kServicePkcs8)).value().public_key(), octets(kServicePublicKey));
    EXPECT_EQ(KeyPair::from_pkcs8(octets(kClientPkcs8)).value().public_key(), octets(kClientPublicKey));
}

TEST(Sealing, ServiceOpensWhatAnotherImplementationSealed) {
    const KeyPair service = KeyPair::from_pkcs8(octets(kServicePkcs8)).value();
    const SessionKeys keys = service.agree_as_service(octets(kClientPublicKey)).value();
    const Sealed sealed = sealed_from("000102030405060708090a0b", "976033396db63bdb6a3c72a641df293a",
                                      "cec9d461e8c996933013b687f06115cbfde3010ddd44");
    EXPECT_EQ(as_text(open(keys.to_service, sealed).value()), kVectorText);
}

TEST(Sealing, ClientOpensWhatAnotherImplementationSealed) {
    const KeyPair client = KeyPair::from_pkcs8(octets(kClientPkcs8)).value();
    const SessionKeys keys = client.agree_as_client(octets(kServicePublicKey)).value();
    const Sealed sealed = sealed_from("0c0d0e0f1011121314151617", "bdd6c898fb20ab00be2853cf1676159f",
                                      "9637d814f09d7e26efa86d7cdc75540ff79b134ba4bc");
    EXPECT_EQ(as_text(open(keys.to_client, sealed).value()), kVectorText);
}

class FreshKeys : public ::testing::Test {
  protected:
    KeyPair service_ = KeyPair::generate().value();
    KeyPair client_ = KeyPair::generate().value();
    SessionKeys at_client_ = client_.agree_as_client(service_.public_key()).value();
    SessionKeys at_service_ = service_.agree_as_service(client_.public_key()).value();
    Bytes text_ = to_bytes(as_byte_view("between us"));
};

TEST_F(FreshKeys, BothSidesAgreeInBothDirections) {
    EXPECT_EQ(open(at_service_.to_service, seal(at_client_.to_service, text_).value()).value(), text_);
    EXPECT_EQ(open(at_client_.to_client, seal(at_service_.to_client, text_).value()).value(), text_);
}

TEST_F(FreshKeys, DirectionsHaveDifferentKeys) {
    EXPECT_FALSE(open(at_service_.to_client, seal(at_client_.to_service, text_).value()));
}

TEST_F(FreshKeys, AnotherServiceCannotOpen) {
    const KeyPair other = KeyPair::generate().value();
    const SessionKeys at_other = other.agree_as_service(client_.public_key()).value();
    EXPECT_FALSE(open(at_other.to_service, seal(at_client_.to_service, text_).value()));
}

TEST_F(FreshKeys, SameTextIsSealedDifferentlyEachTime) {
    const Sealed first = seal(at_client_.to_service, text_).value();
    const Sealed second = seal(at_client_.to_service, text_).value();
    EXPECT_NE(first.iv, second.iv);
    EXPECT_NE(first.ciphertext, second.ciphertext);
}

TEST_F(FreshKeys, EachChangedByteIsNoticed) {
    const Sealed sealed = seal(at_client_.to_service, text_).value();
    for (size_t i = 0; i < sealed.ciphertext.size(); ++i) {
        Sealed changed = sealed;
        changed.ciphertext[i] ^= 1;
        EXPECT_FALSE(open(at_service_.to_service, changed)) << "ciphertext " << i;
    }
    for (size_t i = 0; i < sealed.tag.size(); ++i) {
        Sealed changed = sealed;
        changed.tag[i] ^= 1;
        EXPECT_FALSE(open(at_service_.to_service, changed)) << "tag " << i;
    }
    Sealed changed = sealed;
    changed.iv[0] ^= 1;
    EXPECT_FALSE(open(at_service_.to_service, changed));
}

TEST_F(FreshKeys, EmptyTextCanBeSealed) {
    const Sealed sealed = seal(at_client_.to_service, {}).value();
    EXPECT_TRUE(open(at_service_.to_service, sealed).value().empty());
}

TEST_F(FreshKeys, TextOverTheLimitIsRefused) {
    EXPECT_TRUE(seal(at_client_.to_service, Bytes(kSecretLimit)));
    EXPECT_FALSE(seal(at_client_.to_service, Bytes(kSecretLimit + 1)));
}

TEST_F(FreshKeys, KeysInOtherFormsAreRefused) {
    EXPECT_TRUE(service_.agree_as_service(octets(kClientPublicKey)));
    EXPECT_FALSE(service_.agree_as_service(octets(kCompressedClientPublicKey)));
    EXPECT_FALSE(service_.agree_as_service(octets(kP256PublicKey)));
    EXPECT_FALSE(service_.agree_as_service({}));
    Bytes with_tail = octets(kClientPublicKey);
    with_tail.push_back(0);
    EXPECT_FALSE(service_.agree_as_service(with_tail));
}

TEST_F(FreshKeys, PointOffTheCurveIsRefused) {
    Bytes off_curve = octets(kClientPublicKey);
    off_curve.back() ^= 1;
    const auto keys = service_.agree_as_service(off_curve);
    ASSERT_FALSE(keys);
    EXPECT_EQ(keys.error().code(), ErrorCode::KeyInvalid);
}

// NIST CAVP, gcmDecrypt256.rsp, [IVlen = 96] [PTlen = 408] [AADlen = 0] [Taglen = 128], counts 0, 1 and 3; an
// empty text is one that has to be refused.
TEST(Sealing, OpensAndRefusesAsTheValidationProgramSays) {
    struct Vector {
        const char *key, *iv, *ciphertext, *tag, *text;
    };
    constexpr Vector kVectors[] = {
        {"4433db5fe066960bdd4e1d4d418b641c14bfcef9d574e29dcd0995352850f1eb", "0e396446655582838f27f72f",
         "b0d254abe43bdb563ead669192c1e57e9a85c51dba0f1c8501d1ce92273f1ce7e140dcfac94757fabb128caad16912cead0"
         "607",
         "ffd0b02c92dbfcfbe9d58f7ff9e6f506",
         "d602c06b947abe06cf6aa2c5c1562e29062ad6220da9bc9c25d66a60bd85a80d4fbcc1fb4919b6566be35af9819aba836b8"
         "b47"},
        {"28ae911ee685872d906de12d7696351df8ef2234a74a95efa4ea15b327338fe0", "2fe6a815d4865181fade5fac",
         "1168442ef64656ef6577fb42c1919c84aae856388e4db9945bb8c9b8412bbe6458bc400444d5d2bf2630f83468f66f9e46e"
         "790",
         "b75f616fd1a3d6563b62b899e5a7e522", ""},
        {"f9b70fd065668b9fc4ee7e222f1c4ae27e0a6e37b551e7d5fb58eea40a59fba3", "a7f5ddb39b8c62b50b5a8c0c",
         "0d6dcdf0820f546d54f5476f49bbf1cfafae3b5c7cb0875c826757650864f99d74ee4073651eed0dbaf5789d211c1be5579"
         "843",
         "31efc69daae6f7f0067fd6e969bd9240",
         "6e9c24c172ae8e81e69e797a8bd9f8de4e5e43ccbdeec5a0d0ec1a7b3527384e06129290c5f61fa2f90ae8b03a9402aeb0b"
         "6ce"},
    };
    for (const auto& vector : kVectors) {
        SecretKey key;
        const Bytes key_bytes = octets(vector.key);
        std::copy(key_bytes.begin(), key_bytes.end(), key.bytes().begin());

        const auto text = open(key, sealed_from(vector.iv, vector.tag, vector.ciphertext));

        EXPECT_EQ(text ? to_hex(*text) : "", vector.text);
    }
}

TEST(Hex, TextAndBytesAreEachOthersInverse) {
    EXPECT_EQ(to_hex(Bytes{0x00, 0x7f, 0xff}), "007fff");
    EXPECT_EQ(from_hex("007FfF").value(), (Bytes{0x00, 0x7f, 0xff}));
    EXPECT_FALSE(from_hex("0"));
    EXPECT_FALSE(from_hex("0g"));
    EXPECT_FALSE(from_hex("0 "));
}

}  // namespace
}  // namespace alcove::key_service

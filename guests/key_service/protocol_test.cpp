// SPDX-License-Identifier: Apache-2.0
#include "key_service/protocol.hpp"

#include <gtest/gtest.h>

namespace alcove::key_service {
namespace {

Sealed sample_sealed() {
    Sealed sealed;
    sealed.iv.fill(0x1a);
    sealed.tag.fill(0x2b);
    sealed.ciphertext = {1, 2, 3};
    return sealed;
}

Bytes sample_decrypt() {
    return encode(Request(Decrypt{Bytes(120, 0x04), sample_sealed()}));
}

TEST(Protocol, ChallengeIsVersionTypeAndNonce) {
    const Bytes message = encode(Request(Challenge{{0xaa, 0xbb}}));
    EXPECT_EQ(message, (Bytes{1, 0x01, 0xaa, 0xbb}));
}

TEST(Protocol, DecryptHasTheKeysLengthInTwoBytes) {
    const Bytes message = encode(Request(Decrypt{{0x30, 0x31}, sample_sealed()}));
    ASSERT_EQ(message.size(), 2u + 2 + 2 + 12 + 16 + 3);
    EXPECT_EQ(Bytes(message.begin(), message.begin() + 7), (Bytes{1, 0x02, 0, 2, 0x30, 0x31, 0x1a}));
}

TEST(Protocol, RequestsComeBackAsTheyWere) {
    const Request challenge = Challenge{Bytes(kNonceLimit, 7)};
    const Request decrypt = Decrypt{Bytes(120, 9), sample_sealed()};
    EXPECT_EQ(decode_request(encode(challenge)).value(), challenge);
    EXPECT_EQ(decode_request(encode(decrypt)).value(), decrypt);
}

TEST(Protocol, RepliesComeBackAsTheyWere) {
    const Reply document = Document{Bytes(5000, 3)};
    const Reply answer = Answer{{1, 2, 3}, 70000, sample_sealed()};
    const Reply refusal = Refusal{static_cast<uint8_t>(RefusalReason::NotOpened), "not for us"};
    EXPECT_EQ(decode_reply(encode(document)).value(), document);
    EXPECT_EQ(decode_reply(encode(answer)).value(), answer);
    EXPECT_EQ(decode_reply(encode(refusal)).value(), refusal);
}

TEST(Protocol, NonceMayBeEmptyButNotOver512Bytes) {
    EXPECT_TRUE(decode_request(encode(Request(Challenge{{}}))));
    EXPECT_FALSE(decode_request(encode(Request(Challenge{Bytes(kNonceLimit + 1)}))));
}

TEST(Protocol, DecryptCutAnywhereInItsFixedFieldsIsRefused) {
    const Bytes message = sample_decrypt();
    const size_t fixed = message.size() - 3;
    for (size_t length = 0; length < fixed; ++length) {
        const auto decoded = decode_request(ByteView(message).first(length));
        ASSERT_FALSE(decoded) << length;
        EXPECT_EQ(decoded.error().code(), ErrorCode::InvalidMessage) << length;
    }
    EXPECT_TRUE(decode_request(ByteView(message).first(fixed)));
}

TEST(Protocol, PublicKeyLongerThanTheMessageIsRefused) {
    Bytes message = sample_decrypt();
    message[3] = 255;
    message.resize(64);
    EXPECT_FALSE(decode_request(message));
}

TEST(Protocol, PublicKeyOverItsLimitIsRefusedThoughItIsThere) {
    const auto decoded =
        decode_request(encode(Request(Decrypt{Bytes(kPublicKeyLimit + 1), sample_sealed()})));
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().code(), ErrorCode::InvalidMessage);
}

TEST(Protocol, CiphertextOverItsLimitIsRefused) {
    Sealed sealed = sample_sealed();
    sealed.ciphertext.resize(kSecretLimit + 1);
    EXPECT_FALSE(decode_request(encode(Request(Decrypt{Bytes(120), sealed}))));
}

TEST(Protocol, OtherVersionIsToldApart) {
    const auto decoded = decode_request(Bytes{2, 0x01});
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().code(), ErrorCode::VersionMismatch);
}

TEST(Protocol, UnknownTypeAndReplyInPlaceOfRequestAreToldApart) {
    const auto unknown = decode_request(Bytes{1, 0x33});
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code(), ErrorCode::Unsupported);
    EXPECT_FALSE(decode_request(encode(Reply(Document{}))));
    EXPECT_FALSE(decode_reply(encode(Request(Challenge{}))));
}

TEST(Protocol, EmptyMessageIsRefused) {
    EXPECT_FALSE(decode_request({}));
    EXPECT_FALSE(decode_reply({}));
}

TEST(Protocol, LongRefusalTextIsCut) {
    const auto decoded = decode_reply(encode(Reply(Refusal{1, std::string(1000, 'x')})));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(std::get<Refusal>(*decoded).text.size(), kRefusalTextLimit);
}

}  // namespace
}  // namespace alcove::key_service

// SPDX-License-Identifier: Apache-2.0
#include "key_service/service.hpp"

#include <gtest/gtest.h>

#include "key_service/fake_attester.hpp"

namespace alcove::key_service {
namespace {

class ServiceTest : public ::testing::Test {
  protected:
    Reply ask(const Request& request) { return service_.answer(encode(request)); }

    Decrypt sealed_by_client(std::string_view text) {
        const SessionKeys keys = client_.agree_as_client(service_.public_key()).value();
        return Decrypt{client_.public_key(), seal(keys.to_service, as_byte_view(text)).value()};
    }

    FakeAttester attester_;
    KeyService service_ = KeyService::create(attester_).value();
    KeyPair client_ = KeyPair::generate().value();
};

RefusalReason reason_of(const Reply& reply) {
    return static_cast<RefusalReason>(std::get<Refusal>(reply).reason);
}

TEST_F(ServiceTest, ChallengeIsAnsweredWithADocumentOfKeyAndNonce) {
    const Reply reply = ask(Challenge{{1, 2, 3}});
    EXPECT_EQ(as_text(std::get<Document>(reply).document),
              FakeAttester::text_for(service_.public_key(), Bytes{1, 2, 3}));
}

TEST_F(ServiceTest, FailureOfTheModuleIsTold) {
    attester_.break_it();
    const Reply reply = ask(Challenge{{1}});
    EXPECT_EQ(reason_of(reply), RefusalReason::AttestationFailed);
    EXPECT_EQ(std::get<Refusal>(reply).text, "the security module says InternalError");
}

TEST_F(ServiceTest, SealedSecretIsAnsweredWithDigestLengthAndEcho) {
    const Reply reply = ask(sealed_by_client("abc"));
    const Answer& answer = std::get<Answer>(reply);
    // FIPS 180-2, B.1.
    EXPECT_EQ(to_hex(answer.digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(answer.length, 3u);
    const SessionKeys keys = client_.agree_as_client(service_.public_key()).value();
    EXPECT_EQ(as_text(open(keys.to_client, answer.echo).value()), "abc");
}

TEST_F(ServiceTest, LargestSecretIsAnswered) {
    const std::string text(kSecretLimit, 's');
    const Reply reply = ask(sealed_by_client(text));
    EXPECT_EQ(std::get<Answer>(reply).length, kSecretLimit);
    EXPECT_LE(encode(reply).size(), kMessageLimit);
}

TEST_F(ServiceTest, SecretForAnotherServiceIsRefused) {
    KeyService other = KeyService::create(attester_).value();
    EXPECT_EQ(reason_of(other.answer(encode(Request(sealed_by_client("abc"))))), RefusalReason::NotOpened);
}

TEST_F(ServiceTest, SecretUnderSomebodyElsesKeyIsRefused) {
    Decrypt request = sealed_by_client("abc");
    request.public_key = KeyPair::generate().value().public_key();
    EXPECT_EQ(reason_of(ask(request)), RefusalReason::NotOpened);
}

TEST_F(ServiceTest, BadKeyAndBadTextAreRefusedAlike) {
    Decrypt bad_key = sealed_by_client("abc");
    bad_key.public_key.back() ^= 1;
    Decrypt bad_text = sealed_by_client("abc");
    bad_text.secret.tag[0] ^= 1;
    EXPECT_EQ(ask(bad_key), ask(bad_text));
}

TEST_F(ServiceTest, NonsenseIsRefusedWithItsReason) {
    EXPECT_EQ(reason_of(service_.answer({})), RefusalReason::Malformed);
    EXPECT_EQ(reason_of(service_.answer(Bytes{9, 1})), RefusalReason::Version);
    EXPECT_EQ(reason_of(service_.answer(Bytes{1, 0x7f})), RefusalReason::UnknownRequest);
    EXPECT_EQ(reason_of(service_.answer(Bytes(3, 2))), RefusalReason::Version);
}

TEST_F(ServiceTest, EachServiceHasAKeyOfItsOwn) {
    EXPECT_NE(KeyService::create(attester_).value().public_key(), service_.public_key());
}

}  // namespace
}  // namespace alcove::key_service

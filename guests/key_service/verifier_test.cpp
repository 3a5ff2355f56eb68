// SPDX-License-Identifier: Apache-2.0
#include "key_service/verifier.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::key_service {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> shell(const std::string& script) {
    return {"/bin/sh", "-c", script};
}

TEST(Verifier, PlaceholdersAreFilledInWhereverTheyStand) {
    EXPECT_THAT(fill_in({"verify", "--document={doc}", "{nonce}{nonce}", "plain"}, "/a/{nonce}", "0a"),
                ElementsAre("verify", "--document=/a/0a", "0a0a", "plain"));
}

TEST(Verifier, KeyOfAVerifierThatAcceptsIsTaken) {
    const auto key = verified_public_key(shell(R"(echo '{"verified": true, "public_key": "3076aB"}')"));
    ASSERT_TRUE(key);
    EXPECT_EQ(*key, (Bytes{0x30, 0x76, 0xab}));
}

TEST(Verifier, KeyOfAVerifierThatRefusesIsNotTaken) {
    const auto key = verified_public_key(shell(R"(echo '{"public_key": "3076"}'; exit 1)"));
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().code(), ErrorCode::DocumentSignature);
}

TEST(Verifier, KeyOfAVerifierThatWasKilledIsNotTaken) {
    EXPECT_FALSE(verified_public_key(shell(R"(echo '{"public_key": "3076"}'; kill -9 $$)")));
}

TEST(Verifier, MissingVerifierIsAnError) {
    EXPECT_FALSE(verified_public_key({"/no/such/verifier"}));
}

TEST(Verifier, VerifierThatPrintsWithoutEndIsLeft) {
    EXPECT_FALSE(verified_public_key(shell("while :; do echo ''; done")));
}

TEST(Verifier, OutputWithoutAUsableKeyIsRefused) {
    EXPECT_FALSE(public_key_in(""));
    EXPECT_FALSE(public_key_in("[]"));
    EXPECT_FALSE(public_key_in("{"));
    EXPECT_FALSE(public_key_in("{}"));
    EXPECT_FALSE(public_key_in(R"({"public_key": null})"));
    EXPECT_FALSE(public_key_in(R"({"public_key": 12})"));
    EXPECT_FALSE(public_key_in(R"({"public_key": "MHYw"})"));
}

}  // namespace
}  // namespace alcove::key_service

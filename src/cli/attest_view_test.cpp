// SPDX-License-Identifier: Apache-2.0
#include "cli/attest_view.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "attestation/test_chain.hpp"

namespace alcove::cli {
namespace {

using attestation::TestChain;

attestation::Verification verify(const TestChain& chain, const attestation::Policy& changed,
                                 const api::attestor::AttestFields& fields = {}) {
    auto policy = changed;
    policy.root = chain.root;
    policy.now = TestChain::kNow;
    return attestation::verify_document(chain.document(fields), policy);
}

TEST(AttestView, EveryCheckIsALine) {
    const auto chain = TestChain::make();
    const Bytes nonce = {1, 2, 3};
    attestation::Policy policy;
    policy.nonce = nonce;

    const auto verification = verify(chain, policy, {.user_data = {}, .nonce = nonce, .public_key = {}});
    const auto text = render_verification(verification);

    EXPECT_NE(text.find("ok  "), std::string::npos);
    EXPECT_EQ(text.find("FAILED"), std::string::npos) << text;
    EXPECT_NE(text.find("010203"), std::string::npos);
    EXPECT_NE(text.find("genuine"), std::string::npos);
}

TEST(AttestView, AFailureIsSeenInTextAndJson) {
    const auto chain = TestChain::make();
    attestation::Policy policy;
    policy.nonce = Bytes{9};

    const auto verification = verify(chain, policy, {.user_data = {}, .nonce = Bytes{1}, .public_key = {}});
    const auto json = verification_json(verification);

    EXPECT_NE(render_verification(verification).find("FAILED"), std::string::npos);
    EXPECT_NE(render_verification(verification).find("Do NOT trust"), std::string::npos);
    EXPECT_EQ(json["verified"], false);
    EXPECT_EQ(json["error"]["code"], "E76");
    EXPECT_EQ(json["document"]["nonce"], "01");
    EXPECT_TRUE(json["document"]["public_key"].is_null());
    EXPECT_EQ(json["document"]["pcrs"]["0"].get<std::string>().substr(0, 4), "1010");
}

TEST(AttestView, PcrsAreReadByNumber) {
    const auto pcr = parse_pcr("8=00Ff").value();

    EXPECT_EQ(pcr.first, 8U);
    EXPECT_EQ(pcr.second, (Bytes{0x00, 0xff}));
    for (const char* wrong : {"", "8", "8=", "=00", "32=00", "-1=00", "8=0", "8=xx", "8 =00", "x=00"})
        EXPECT_EQ(parse_pcr(wrong).error().code(), ErrorCode::InvalidArgument) << wrong;
}

TEST(AttestView, TimesAreReadInTwoForms) {
    EXPECT_EQ(parse_time("1700000000").value(), parse_time("2023-11-14T22:13:20Z").value());
    for (const char* wrong : {"", "yesterday", "2023-11-14", "2023-11-14T22:13:20", "2023-13-14T22:13:20Z",
                              "-5", "99999999999999999999"})
        EXPECT_EQ(parse_time(wrong).error().code(), ErrorCode::InvalidArgument) << wrong;
}

TEST(AttestView, AKeyIsReadFromPemOrAsItIs) {
    const auto key = crypto::PrivateKey::generate(crypto::Curve::P384).value();
    const auto pem = key.public_key().to_pem().value();

    EXPECT_EQ(public_key_bytes(as_byte_view(pem)).value(), key.public_key().to_der().value());
    EXPECT_EQ(public_key_bytes(Bytes{1, 2}).value(), (Bytes{1, 2}));
    EXPECT_FALSE(public_key_bytes(as_byte_view("-----BEGIN PUBLIC KEY-----\nAAAA")));
    EXPECT_FALSE(
        public_key_bytes(as_byte_view("-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----")));
}

}  // namespace
}  // namespace alcove::cli

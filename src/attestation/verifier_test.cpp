// SPDX-License-Identifier: Apache-2.0
#include "attestation/verifier.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "attestation/test_chain.hpp"
#include "codec/cbor_writer.hpp"

namespace alcove::attestation {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

Outcome outcome_of(const Verification& verification, std::string_view name) {
    const auto found = std::ranges::find(verification.checks, name, &Check::name);
    EXPECT_NE(found, verification.checks.end()) << "there is no check " << name;
    return found == verification.checks.end() ? Outcome::NotMade : found->outcome;
}

// The error and the check that it comes from: the only one that failed.
void expect_refusal(const Verification& verification, ErrorCode code, std::string_view check) {
    ASSERT_FALSE(verification.verified()) << check;
    EXPECT_EQ(verification.error->code(), code) << verification.error->to_string();
    EXPECT_EQ(outcome_of(verification, check), Outcome::Failed);
    EXPECT_EQ(std::ranges::count(verification.checks, Outcome::Failed, &Check::outcome), 1);
}

class Verifier : public testing::Test {
  protected:
    const TestChain chain = TestChain::make();
};

TEST_F(Verifier, BelievesAGoodDocument) {
    const Bytes nonce = {1, 2, 3};
    const Bytes public_key = {4};
    const Bytes user_data = {5};
    auto policy = chain.policy();
    policy.nonce = nonce;
    policy.public_key = public_key;
    policy.user_data = user_data;
    policy.pcrs = {{0, Bytes(48, 0x10)}, {3, Bytes(48, 0)}};
    policy.max_age = minutes(1);

    const auto result = verify_document(
        chain.document({.user_data = user_data, .nonce = nonce, .public_key = public_key}), policy);

    EXPECT_TRUE(result.verified()) << result.error->to_string();
    EXPECT_TRUE(
        std::ranges::all_of(result.checks, [](const Check& c) { return c.outcome == Outcome::Passed; }));
    EXPECT_EQ(result.checks.size(), 13U);
    EXPECT_EQ(result.document->module_id, "i-test-enc0");
}

TEST_F(Verifier, TakesATaggedEnvelopeAndARootByFingerprint) {
    auto document = chain.document();
    document.insert(document.begin(), 0xd2);
    auto policy = chain.policy();
    policy.root.reset();
    policy.root_fingerprint = chain.root.fingerprint();

    const auto result = verify_document(document, policy);

    EXPECT_TRUE(result.verified()) << result.error->to_string();
}

TEST_F(Verifier, TakesAnIndefiniteMapAndHashesTheBytesAsReceived) {
    namespace cbor = codec::cbor;
    const auto good = cbor::decode(parse_envelope(chain.document()).value().payload).value();
    cbor::Writer writer;
    writer.indefinite_map();
    for (const auto& entry : good.as_map().value()->entries())
        writer.value(entry.key).value(entry.value);
    writer.end_indefinite();

    const auto result = verify_document(chain.sign(writer.view()), chain.policy());

    EXPECT_TRUE(result.verified()) << result.error->to_string();
}

TEST_F(Verifier, WithoutATrustedRootNothingIsBelieved) {
    auto none = chain.policy();
    none.root.reset();
    auto other = chain.policy();
    other.root = TestChain::make().root;
    auto other_fingerprint = none;
    other_fingerprint.root_fingerprint = crypto::parse_fingerprint(kAwsRootFingerprint).value();

    for (const auto& policy : {none, other, other_fingerprint})
        expect_refusal(verify_document(chain.document(), policy), ErrorCode::RootUntrusted, "root");
}

TEST_F(Verifier, AForeignSignatureIsRefusedAndNothingBehindItIsAsked) {
    const auto other = PrivateKey::generate(crypto::Curve::P384).value();
    const auto payload = parse_envelope(chain.document()).value().payload;
    auto policy = chain.policy();
    policy.nonce = Bytes{1};

    const auto result = verify_document(crypto::cose_sign1(payload, other).value(), policy);

    expect_refusal(result, ErrorCode::DocumentSignature, "signature");
    for (const auto* name : {"root", "chain", "validity", "development-root", "timestamp", "debug", "nonce"})
        EXPECT_EQ(outcome_of(result, name), Outcome::NotMade);
}

TEST_F(Verifier, TimesAreThoseOfThePolicy) {
    auto late = chain.policy();
    late.now = TestChain::kNow + hours(4);
    auto early = chain.policy();
    early.now = TestChain::kNow - hours(1);

    expect_refusal(verify_document(chain.document(), late), ErrorCode::CertificateExpired, "validity");
    expect_refusal(verify_document(chain.document(), early), ErrorCode::CertificateExpired, "validity");
}

TEST_F(Verifier, ATimestampOutsideItsBoundsIsRefused) {
    auto fresh = chain.policy();
    fresh.max_age = minutes(10);
    const auto bank = TestChain::pcrs();

    expect_refusal(verify_document(chain.document({}, bank, TestChain::kNow + hours(1)), chain.policy()),
                   ErrorCode::DocumentField, "timestamp");
    expect_refusal(verify_document(chain.document({}, bank, TestChain::kNow - hours(1)), chain.policy()),
                   ErrorCode::DocumentField, "timestamp");
    fresh.now = TestChain::kNow + minutes(11);
    expect_refusal(verify_document(chain.document(), fresh), ErrorCode::DocumentField, "timestamp");
}

TEST_F(Verifier, ALeafThatIsNoLeafIsRefused) {
    // Signed by the intermediate itself, which may issue certificates but is no enclave.
    const auto bank = TestChain::pcrs();
    const DocumentPlan plan{.module_id = "i-test-enc0",
                            .timestamp = TestChain::kNow,
                            .pcrs = bank,
                            .leaf = chain.intermediate,
                            .bundle = {&chain.root, 1},
                            .fields = {}};

    const auto result = verify_document(make_document(plan, chain.intermediate_key).value(), chain.policy());

    expect_refusal(result, ErrorCode::ChainInvalid, "chain");
}

TEST_F(Verifier, AChainWithAStrangerInItIsRefused) {
    const auto other = TestChain::make();
    const auto bank = TestChain::pcrs();
    const std::vector<Certificate> bundle{chain.root, other.intermediate};
    const DocumentPlan plan{.module_id = "i-test-enc0",
                            .timestamp = TestChain::kNow,
                            .pcrs = bank,
                            .leaf = other.leaf,
                            .bundle = bundle,
                            .fields = {}};

    const auto result = verify_document(make_document(plan, other.leaf_key).value(), chain.policy());

    expect_refusal(result, ErrorCode::ChainInvalid, "chain");
}

TEST_F(Verifier, ARevokedIntermediateIsRefused) {
    auto policy = chain.policy();
    policy.revocation_lists.push_back(
        crypto::RevocationList::issue({&chain.intermediate, 1}, chain.root, chain.root_key,
                                      TestChain::kNow - hours(1), TestChain::kNow + hours(1))
            .value());
    auto harmless = chain.policy();
    harmless.revocation_lists.push_back(crypto::RevocationList::issue({}, chain.root, chain.root_key,
                                                                      TestChain::kNow - hours(1),
                                                                      TestChain::kNow + hours(1))
                                            .value());

    expect_refusal(verify_document(chain.document(), policy), ErrorCode::CertificateRevoked, "revocation");
    EXPECT_TRUE(verify_document(chain.document(), harmless).verified());
}

TEST_F(Verifier, ADevelopmentRootMustBeAllowed) {
    const auto development = TestChain::make(HostKind::Development);
    auto allowing = development.policy();
    allowing.allow_development = true;

    const auto refused = verify_document(development.document(), development.policy());
    const auto allowed = verify_document(development.document(), allowing);

    expect_refusal(refused, ErrorCode::DevelopmentRoot, "development-root");
    EXPECT_TRUE(refused.development);
    EXPECT_TRUE(allowed.verified());
    EXPECT_TRUE(allowed.development);
}

TEST_F(Verifier, ADebugEnclaveMustBeAllowed) {
    const auto document = chain.document({}, PcrBank());
    auto allowing = chain.policy();
    allowing.allow_debug = true;

    expect_refusal(verify_document(document, chain.policy()), ErrorCode::DebugEnclave, "debug");
    EXPECT_TRUE(verify_document(document, allowing).verified());
}

TEST_F(Verifier, ExpectationsThatAreNotMetAreNamed) {
    const Bytes nonce = {1, 2, 3};
    const auto document =
        chain.document({.user_data = std::nullopt, .nonce = nonce, .public_key = std::nullopt});
    auto pcr = chain.policy();
    pcr.pcrs = {{0, Bytes(48, 0x11)}};
    auto unlocked = chain.policy();
    unlocked.pcrs = {{16, Bytes(48, 0)}};
    auto stale = chain.policy();
    stale.nonce = Bytes{1, 2, 4};
    auto key = chain.policy();
    key.public_key = Bytes{1};
    auto data = chain.policy();
    data.user_data = Bytes{1};

    expect_refusal(verify_document(document, pcr), ErrorCode::PcrMismatch, "pcrs");
    expect_refusal(verify_document(document, unlocked), ErrorCode::PcrMismatch, "pcrs");
    expect_refusal(verify_document(document, stale), ErrorCode::NonceMismatch, "nonce");
    expect_refusal(verify_document(document, key), ErrorCode::PublicKeyMismatch, "public-key");
    expect_refusal(verify_document(document, data), ErrorCode::DocumentField, "user-data");
}

TEST_F(Verifier, AllDemandsAreAnsweredEvenIfTheFirstFails) {
    auto policy = chain.policy();
    policy.pcrs = {{0, Bytes(48, 0x11)}};
    policy.nonce = Bytes{1};

    const auto result = verify_document(chain.document(), policy);

    EXPECT_EQ(result.error->code(), ErrorCode::PcrMismatch);
    EXPECT_EQ(outcome_of(result, "pcrs"), Outcome::Failed);
    EXPECT_EQ(outcome_of(result, "nonce"), Outcome::Failed);
}

// Each byte of a document, changed in one bit that differs from byte to byte: never believed, always one
// error of those that `attest verify` explains.
TEST_F(Verifier, AnyChangedByteIsRefused) {
    const Bytes nonce = {1, 2, 3};
    const auto good = chain.document({.user_data = std::nullopt, .nonce = nonce, .public_key = std::nullopt});
    const auto policy = chain.policy();
    ASSERT_TRUE(verify_document(good, policy).verified());

    for (size_t at = 0; at < good.size(); ++at) {
        auto changed = good;
        changed[at] = static_cast<uint8_t>(changed[at] ^ (1U << (at % 8)));
        const auto result = verify_document(changed, policy);
        ASSERT_FALSE(result.verified()) << "byte " << at;
        EXPECT_TRUE(result.error->code() == ErrorCode::DocumentMalformed ||
                    result.error->code() == ErrorCode::DocumentField ||
                    result.error->code() == ErrorCode::ChainInvalid ||
                    result.error->code() == ErrorCode::DocumentSignature)
            << "byte " << at << ": " << result.error->to_string();
        EXPECT_EQ(std::ranges::count(result.checks, Outcome::Failed, &Check::outcome), 1) << "byte " << at;
    }
}

// The few bytes outside of what is signed, changed to every other value.
TEST_F(Verifier, NoChangeOfTheEnvelopesOwnBytesIsBelieved) {
    const auto good = chain.document();
    const auto policy = chain.policy();
    const size_t signature_head = good.size() - 96 - 2;
    const size_t positions[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, signature_head, signature_head + 1};

    for (const size_t at : positions)
        for (unsigned difference = 1; difference < 256; ++difference) {
            auto changed = good;
            changed[at] = static_cast<uint8_t>(changed[at] ^ difference);
            EXPECT_FALSE(verify_document(changed, policy).verified()) << "byte " << at << " ^ " << difference;
        }
}

TEST_F(Verifier, NoPrefixOrExtensionIsBelieved) {
    const auto good = chain.document();
    auto longer = good;
    longer.push_back(0);

    for (size_t size = 0; size < good.size(); size += 7)
        EXPECT_EQ(verify_document(ByteView(good).first(size), chain.policy()).error->code(),
                  ErrorCode::DocumentMalformed);
    EXPECT_EQ(verify_document(longer, chain.policy()).error->code(), ErrorCode::DocumentMalformed);
}

}  // namespace
}  // namespace alcove::attestation

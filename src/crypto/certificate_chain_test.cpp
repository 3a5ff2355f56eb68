// SPDX-License-Identifier: Apache-2.0
#include "crypto/certificate_chain.hpp"

#include <gtest/gtest.h>

namespace alcove::crypto {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr TimePoint kNow{seconds(1'750'000'000)};

struct Authority {
    PrivateKey key;
    Certificate certificate;
};

CertificatePlan plan_for(const std::string& name) {
    CertificatePlan plan;
    plan.subject.organization = "Test";
    plan.subject.common_name = name;
    plan.not_before = kNow - hours(1);
    plan.not_after = kNow + hours(24);
    plan.authority = true;
    plan.key_usage = {KeyUsage::digitalSignature, KeyUsage::keyCertSign, KeyUsage::cRLSign};
    plan.key_identifiers = true;
    return plan;
}

CertificatePlan leaf_plan() {
    auto plan = plan_for("leaf");
    plan.authority = false;
    plan.key_usage = {KeyUsage::digitalSignature, KeyUsage::nonRepudiation};
    plan.key_usage_criticality = Criticality::NotCritical;
    plan.key_identifiers = false;
    return plan;
}

Authority make(const CertificatePlan& plan, const Authority* issuer) {
    auto key = PrivateKey::generate(Curve::P384).value();
    auto certificate = issue_certificate(plan, key.public_key(), issuer != nullptr ? issuer->key : key,
                                         issuer != nullptr ? &issuer->certificate : nullptr)
                           .value();
    return {std::move(key), std::move(certificate)};
}

class CertificateChain : public testing::Test {
  protected:
    ErrorCode failure(const Certificate& of, const std::vector<Certificate>& above,
                      const std::vector<RevocationList>& lists = {}, TimePoint time = kNow) {
        const auto verified = verify_chain(of, above, root.certificate, time, lists);
        return verified ? ErrorCode{} : verified.error().code();
    }

    Authority root = make(plan_for("root"), nullptr);
    Authority middle = make(plan_for("middle"), &root);
    Authority leaf = make(leaf_plan(), &middle);
    std::vector<Certificate> bundle{root.certificate, middle.certificate};
};

TEST_F(CertificateChain, AGoodOneVerifies) {
    const auto verified = verify_chain(leaf.certificate, bundle, root.certificate, kNow);

    EXPECT_TRUE(verified) << verified.error().to_string();
}

TEST_F(CertificateChain, AnotherRootIsUntrusted) {
    const auto other = make(plan_for("root"), nullptr);  // same name, another key

    EXPECT_EQ(failure(leaf.certificate, {other.certificate, middle.certificate}), ErrorCode::RootUntrusted);
    EXPECT_EQ(verify_chain(leaf.certificate, bundle, other.certificate, kNow).error().code(),
              ErrorCode::RootUntrusted);
}

TEST_F(CertificateChain, ALinkSignedBySomebodyElseIsRefused) {
    const auto other_root = make(plan_for("root"), nullptr);
    const auto impostor = make(plan_for("middle"), &other_root);
    const auto forged = make(leaf_plan(), &impostor);

    EXPECT_EQ(failure(forged.certificate, {root.certificate, impostor.certificate}), ErrorCode::ChainInvalid);
    EXPECT_EQ(failure(forged.certificate, bundle), ErrorCode::ChainInvalid);
}

TEST_F(CertificateChain, OrderGapsAndStrangersAreRefused) {
    const auto stranger = make(plan_for("stranger"), &root);

    EXPECT_EQ(failure(leaf.certificate, {}), ErrorCode::ChainInvalid);
    EXPECT_EQ(failure(leaf.certificate, {root.certificate}), ErrorCode::ChainInvalid);
    EXPECT_EQ(failure(leaf.certificate, {root.certificate, middle.certificate, stranger.certificate}),
              ErrorCode::ChainInvalid);
    EXPECT_EQ(failure(leaf.certificate, {root.certificate, stranger.certificate, middle.certificate}),
              ErrorCode::ChainInvalid);
    EXPECT_EQ(failure(leaf.certificate, {root.certificate, middle.certificate, middle.certificate}),
              ErrorCode::ChainInvalid);
    EXPECT_EQ(failure(root.certificate, {root.certificate}), ErrorCode::ChainInvalid);
}

TEST_F(CertificateChain, EveryLinkMustBeInItsTime) {
    auto short_plan = plan_for("short");
    short_plan.not_after = kNow - seconds(1);
    const auto expired = make(short_plan, &root);
    const auto below = make(leaf_plan(), &expired);

    EXPECT_EQ(failure(below.certificate, {root.certificate, expired.certificate}),
              ErrorCode::CertificateExpired);
    EXPECT_EQ(failure(leaf.certificate, bundle, {}, kNow + hours(25)), ErrorCode::CertificateExpired);
    EXPECT_EQ(failure(leaf.certificate, bundle, {}, kNow - hours(2)), ErrorCode::CertificateExpired);
}

TEST_F(CertificateChain, WithoutATimeOnlyTheLinksCount) {
    EXPECT_TRUE(verify_chain(leaf.certificate, bundle, root.certificate, std::nullopt));
    EXPECT_TRUE(check_validity(leaf.certificate, kNow));
    EXPECT_EQ(check_validity(leaf.certificate, kNow + hours(25)).error().code(),
              ErrorCode::CertificateExpired);
    EXPECT_EQ(check_validity(leaf.certificate, kNow - hours(2)).error().code(),
              ErrorCode::CertificateExpired);
}

TEST_F(CertificateChain, WhoIsNoAuthorityCannotIssue) {
    auto plain_plan = leaf_plan();
    plain_plan.subject.common_name = "no authority";
    const auto plain = make(plain_plan, &root);
    auto unusable_plan = plan_for("no keyCertSign");
    unusable_plan.key_usage = {KeyUsage::digitalSignature};
    const auto unusable = make(unusable_plan, &root);
    const auto below_plain = make(leaf_plan(), &plain);
    const auto below_unusable = make(leaf_plan(), &unusable);

    EXPECT_EQ(failure(below_plain.certificate, {root.certificate, plain.certificate}),
              ErrorCode::ChainInvalid);
    EXPECT_EQ(failure(below_unusable.certificate, {root.certificate, unusable.certificate}),
              ErrorCode::ChainInvalid);
}

TEST_F(CertificateChain, PathLengthIsRespected) {
    auto bounded_plan = plan_for("bounded");
    bounded_plan.path_length = 0;
    const auto bounded = make(bounded_plan, &root);
    const auto below = make(plan_for("below"), &bounded);
    const auto direct_leaf = make(leaf_plan(), &bounded);
    const auto deep_leaf = make(leaf_plan(), &below);

    EXPECT_EQ(failure(direct_leaf.certificate, {root.certificate, bounded.certificate}), ErrorCode{});
    EXPECT_EQ(failure(deep_leaf.certificate, {root.certificate, bounded.certificate, below.certificate}),
              ErrorCode::ChainInvalid);
}

TEST_F(CertificateChain, ARevokedLinkIsRefused) {
    const auto issue = [&](const Authority& by, const Certificate& revoked) {
        return RevocationList::issue({&revoked, 1}, by.certificate, by.key, kNow - hours(1), kNow + hours(1))
            .value();
    };
    const auto stranger = make(plan_for("stranger"), &root);

    EXPECT_EQ(failure(leaf.certificate, bundle, {issue(root, middle.certificate)}),
              ErrorCode::CertificateRevoked);
    EXPECT_EQ(failure(leaf.certificate, bundle, {issue(middle, leaf.certificate)}),
              ErrorCode::CertificateRevoked);
    EXPECT_EQ(failure(leaf.certificate, bundle, {issue(root, stranger.certificate)}), ErrorCode{});
    EXPECT_EQ(failure(leaf.certificate, bundle, {issue(stranger, leaf.certificate)}), ErrorCode{});
}

TEST_F(CertificateChain, AListThatIsStaleOrForgedIsRefused) {
    const auto impostor = make(plan_for("root"), nullptr);
    const auto stale =
        RevocationList::issue({}, root.certificate, root.key, kNow - hours(2), kNow - hours(1)).value();
    const auto forged =
        RevocationList::issue({}, root.certificate, impostor.key, kNow - hours(1), kNow + hours(1)).value();

    EXPECT_EQ(failure(leaf.certificate, bundle, {stale}), ErrorCode::ChainInvalid);
    EXPECT_EQ(failure(leaf.certificate, bundle, {forged}), ErrorCode::ChainInvalid);
}

TEST_F(CertificateChain, AListComesBackFromItsPem) {
    const auto list = RevocationList::issue({&middle.certificate, 1}, root.certificate, root.key,
                                            kNow - hours(1), kNow + hours(1))
                          .value();

    const auto read = RevocationList::from_pem_or_der(as_byte_view(list.to_pem().value()));

    ASSERT_TRUE(read) << read.error().to_string();
    EXPECT_TRUE(read->is_of(root.certificate));
    EXPECT_FALSE(read->is_of(middle.certificate));
    EXPECT_EQ(failure(leaf.certificate, bundle, {*read}), ErrorCode::CertificateRevoked);
    EXPECT_EQ(RevocationList::from_pem_or_der(as_byte_view("nonsense")).error().code(),
              ErrorCode::InvalidArgument);
}

}  // namespace
}  // namespace alcove::crypto

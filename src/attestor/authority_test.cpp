// SPDX-License-Identifier: Apache-2.0
#include "attestor/authority.hpp"

#include <sys/stat.h>

#include <gtest/gtest.h>

#include "attestor/test_folder.hpp"
#include "crypto/certificate_chain.hpp"
#include "support/system.hpp"

namespace alcove::attestor {
namespace {

using crypto::CertificatePlan;
using crypto::Curve;
using std::chrono::hours;
using std::chrono::seconds;

constexpr TimePoint kNow{seconds(1'750'000'000)};

TimePoint fixed_clock() {
    return kNow;
}

struct Owner {
    PrivateKey key;
    Certificate certificate;
};

// An operator's authority, made with another tool as far as this code is concerned.
Owner make_owner(const std::string& name, const Owner* issuer, std::optional<uint32_t> path_length = {}) {
    auto key = PrivateKey::generate(Curve::P384).value();
    CertificatePlan plan;
    plan.subject.organization = "Operator";
    plan.subject.common_name = name;
    plan.not_before = kNow - hours(1);
    plan.not_after = kNow + hours(24 * 365);
    plan.authority = true;
    plan.path_length = path_length;
    plan.key_usage = {crypto::KeyUsage::keyCertSign, crypto::KeyUsage::cRLSign};
    plan.key_identifiers = true;
    auto certificate =
        crypto::issue_certificate(plan, key.public_key(), issuer != nullptr ? issuer->key : key,
                                  issuer != nullptr ? &issuer->certificate : nullptr)
            .value();
    return {std::move(key), std::move(certificate)};
}

class AuthorityTest : public testing::Test {
  protected:
    std::string write(const std::string& name, ByteView content, mode_t mode = 0600) {
        EXPECT_TRUE(sys::replace_file(folder / name, content, mode));
        return folder / name;
    }
    std::string write(const std::string& name, const Certificate& certificate) {
        return write(name, as_byte_view(certificate.to_pem().value()), 0644);
    }
    std::string write(const std::string& name, const PrivateKey& key, mode_t mode = 0600) {
        return write(name, key.to_pem().value().view(), mode);
    }
    Authority::Files files(std::string root_certificate = {}, std::string root_key = {},
                           std::string ca_certificate = {}, std::string ca_key = {}) {
        return {.state_folder = folder / "state",
                .root_certificate = std::move(root_certificate),
                .root_key = std::move(root_key),
                .ca_certificate = std::move(ca_certificate),
                .ca_key = std::move(ca_key)};
    }
    ErrorCode failure(const Authority::Files& given, HostKind kind = HostKind::Production) {
        const auto authority = Authority::open(given, kind, fixed_clock);
        return authority ? ErrorCode{} : authority.error().code();
    }
    void expect_chain(Authority& authority, const Certificate& root, size_t length) {
        const auto leaf = authority.issue_leaf("vm").value();
        EXPECT_EQ(leaf.bundle->size(), length);
        const auto verified = crypto::verify_chain(leaf.certificate, *leaf.bundle, root, kNow);
        EXPECT_TRUE(verified) << verified.error().to_string();
        EXPECT_EQ(leaf.certificate.public_key().value(), leaf.key.public_key());
    }

    const TestFolder folder;
};

TEST_F(AuthorityTest, MakesItsRootOnceAndKeepsItPrivate) {
    auto first = Authority::open(files(), HostKind::Production, fixed_clock).value();
    auto second = Authority::open(files(), HostKind::Production, fixed_clock).value();

    EXPECT_EQ(first.root(), second.root());
    expect_chain(first, first.root(), 2);
    struct stat info {};
    ASSERT_EQ(::stat((folder / "state/root.pem").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600U);
    ASSERT_EQ(::stat((folder / "state").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700U);
}

TEST_F(AuthorityTest, TwoStartsHaveTheirOwnIntermediates) {
    auto first = Authority::open(files(), HostKind::Production, fixed_clock).value();
    auto second = Authority::open(files(), HostKind::Production, fixed_clock).value();

    EXPECT_NE(first.issue_leaf("vm")->bundle->back(), second.issue_leaf("vm")->bundle->back());
}

TEST_F(AuthorityTest, AKeyFileOpenToOthersIsRefused) {
    ASSERT_TRUE(Authority::open(files(), HostKind::Production, fixed_clock));
    ASSERT_EQ(::chmod((folder / "state/root.pem").c_str(), 0640), 0);

    EXPECT_EQ(failure(files()), ErrorCode::PermissionDenied);
}

TEST_F(AuthorityTest, AFolderOthersCanWriteIsRefused) {
    ASSERT_TRUE(Authority::open(files(), HostKind::Production, fixed_clock));
    ASSERT_EQ(::chmod((folder / "state").c_str(), 0770), 0);

    EXPECT_EQ(failure(files()), ErrorCode::PermissionDenied);
}

TEST_F(AuthorityTest, ABrokenRootFileIsAnErrorAndNeverReplaced) {
    ASSERT_TRUE(Authority::open(files(), HostKind::Production, fixed_clock));
    ASSERT_TRUE(sys::replace_file(folder / "state/root.pem", as_byte_view("broken"), 0600));

    EXPECT_EQ(failure(files()), ErrorCode::KeyInvalid);
    EXPECT_EQ(as_text(sys::read_file(folder / "state/root.pem", 100).value()), "broken");
}

TEST_F(AuthorityTest, DevelopmentAndProductionRootsAreNotMixedUp) {
    ASSERT_TRUE(Authority::open(files(), HostKind::Development, fixed_clock));

    EXPECT_EQ(failure(files(), HostKind::Production), ErrorCode::DevelopmentRoot);
    EXPECT_EQ(failure(files(), HostKind::Development), ErrorCode{});
}

TEST_F(AuthorityTest, ServesUnderAnOperatorsRoot) {
    const auto root = make_owner("root", nullptr);

    auto authority = Authority::open(files(write("root.crt", root.certificate), write("root.key", root.key)),
                                     HostKind::Production, fixed_clock)
                         .value();

    expect_chain(authority, root.certificate, 2);
    EXPECT_FALSE(std::filesystem::exists(folder / "state/root.pem"));
}

TEST_F(AuthorityTest, ServesUnderAnOperatorsCaWithoutTheRootsKey) {
    const auto root = make_owner("root", nullptr);
    const auto region = make_owner("region", &root);
    const auto ca = make_owner("ca", &region);
    const auto chain = ca.certificate.to_pem().value() + region.certificate.to_pem().value();

    auto authority = Authority::open(files(write("root.crt", root.certificate), {},
                                           write("ca.crt", as_byte_view(chain)), write("ca.key", ca.key)),
                                     HostKind::Production, fixed_clock)
                         .value();

    expect_chain(authority, root.certificate, 4);
}

TEST_F(AuthorityTest, ACaThatMayHaveNoneBelowItIssuesByItself) {
    const auto root = make_owner("root", nullptr);
    const auto ca = make_owner("ca", &root, 0);
    const auto given = files(write("root.crt", root.certificate), {}, write("ca.crt", ca.certificate),
                             write("ca.key", ca.key));

    auto authority = Authority::open(given, HostKind::Production, fixed_clock).value();

    expect_chain(authority, root.certificate, 2);
    EXPECT_EQ(authority.issue_leaf("vm")->bundle->back(), ca.certificate);
    EXPECT_EQ(failure(given, HostKind::Development), ErrorCode::InvalidArgument);
}

TEST_F(AuthorityTest, ADevelopmentHostMarksItsIntermediateUnderAnyRoot) {
    const auto root = make_owner("root", nullptr);

    auto authority = Authority::open(files(write("root.crt", root.certificate), write("root.key", root.key)),
                                     HostKind::Development, fixed_clock)
                         .value();

    EXPECT_TRUE(attestation::is_development(authority.issue_leaf("vm")->bundle->back()));
}

TEST_F(AuthorityTest, FilesThatDoNotBelongTogetherAreRefused) {
    const auto root = make_owner("root", nullptr);
    const auto other = make_owner("root", nullptr);
    const auto ca = make_owner("ca", &other);
    const auto root_crt = write("root.crt", root.certificate);
    const auto root_key = write("root.key", root.key);
    const auto other_key = write("other.key", other.key);
    const auto ca_crt = write("ca.crt", ca.certificate);
    const auto ca_key = write("ca.key", ca.key);

    EXPECT_EQ(failure(files(root_crt, other_key)), ErrorCode::KeyInvalid);
    EXPECT_EQ(failure(files(root_crt, {}, ca_crt, ca_key)), ErrorCode::ChainInvalid);
    EXPECT_EQ(failure(files(root_crt)), ErrorCode::InvalidArgument);
    EXPECT_EQ(failure(files({}, root_key)), ErrorCode::InvalidArgument);
    EXPECT_EQ(failure(files(root_crt, root_key, ca_crt, ca_key)), ErrorCode::InvalidArgument);
    EXPECT_EQ(failure(files(root_crt, {}, {}, ca_key)), ErrorCode::InvalidArgument);
    EXPECT_EQ(failure(files(folder / "nothing", root_key)), ErrorCode::NotFound);
}

TEST_F(AuthorityTest, AnOperatorsKeyMayBeSharedWithAGroupAndNoFurther) {
    const auto root = make_owner("root", nullptr);
    const auto certificate = write("root.crt", root.certificate);

    EXPECT_EQ(failure(files(certificate, write("group.key", root.key, 0640))), ErrorCode{});
    EXPECT_EQ(failure(files(certificate, write("world.key", root.key, 0644))), ErrorCode::PermissionDenied);
}

TEST_F(AuthorityTest, AnExpiredCaIsRefused) {
    const auto root = make_owner("root", nullptr);
    const auto given = files(write("root.crt", root.certificate), write("root.key", root.key));

    const auto late = Authority::open(given, HostKind::Production, [] { return kNow + hours(24 * 366); });

    EXPECT_EQ(late.error().code(), ErrorCode::CertificateExpired);
}

}  // namespace
}  // namespace alcove::attestor

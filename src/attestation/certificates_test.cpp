// SPDX-License-Identifier: Apache-2.0
#include "attestation/certificates.hpp"

#include <gtest/gtest.h>

#include "attestation/test_chain.hpp"
#include "crypto/certificate_chain.hpp"

namespace alcove::attestation {
namespace {

using crypto::KeyUsage;
using std::chrono::hours;
using std::chrono::seconds;

TEST(Certificates, FormAChainOfThree) {
    const auto chain = TestChain::make();

    const auto verified = crypto::verify_chain(chain.leaf, chain.bundle, chain.root, TestChain::kNow);

    EXPECT_TRUE(verified) << verified.error().to_string();
}

TEST(Certificates, AreSmallEnoughForADocument) {
    const auto chain = TestChain::make(HostKind::Development);
    const auto long_name = make_leaf(chain.leaf_key.public_key(), chain.intermediate_key, chain.intermediate,
                                     std::string(64, 'x'), TestChain::kNow);

    for (const auto& certificate : {chain.root, chain.intermediate, chain.leaf, long_name.value()})
        EXPECT_LE(certificate.der().size(), kMaxCertificateSize);
}

// nitro.md 4.7.
TEST(Certificates, HaveTheLifetimesAndExtensionsOfTheReference) {
    const auto chain = TestChain::make();

    EXPECT_GT(chain.root.not_after() - chain.root.not_before(), hours(24) * 365 * 29);
    EXPECT_FALSE(chain.root.path_length());
    EXPECT_TRUE(chain.root.allows(KeyUsage::cRLSign));
    EXPECT_EQ(chain.intermediate.not_after(), TestChain::kNow + hours(24) * 20);
    EXPECT_EQ(chain.intermediate.path_length(), 0U);
    EXPECT_EQ(chain.leaf.not_before(), TestChain::kNow - seconds(3));
    EXPECT_EQ(chain.leaf.not_after() - chain.leaf.not_before(), hours(3));
    EXPECT_FALSE(chain.leaf.is_authority());
    EXPECT_TRUE(chain.leaf.allows(KeyUsage::digitalSignature));
    EXPECT_TRUE(chain.leaf.allows(KeyUsage::nonRepudiation));
    EXPECT_EQ(chain.leaf.serial().size(), 16U);
}

TEST(Certificates, AreNotMistakenForAnybodyElses) {
    const auto chain = TestChain::make();

    for (const auto& certificate : chain.bundle) {
        EXPECT_EQ(certificate.subject().organization, "Alcove");
        EXPECT_TRUE(certificate.subject().common_name.starts_with("alcove."));
    }
    EXPECT_EQ(chain.leaf.subject().common_name, "alcove.enclave.test");
}

TEST(Certificates, OutliveNobodyAboveThem) {
    const auto chain = TestChain::make();
    const auto late = chain.intermediate.not_after() - hours(1);

    const auto leaf =
        make_leaf(chain.leaf_key.public_key(), chain.intermediate_key, chain.intermediate, "test", late)
            .value();

    EXPECT_EQ(leaf.not_after(), chain.intermediate.not_after());
}

TEST(Certificates, OnlyADevelopmentHostsAuthoritiesAreMarked) {
    const auto production = TestChain::make(HostKind::Production);
    const auto development = TestChain::make(HostKind::Development);

    EXPECT_FALSE(is_development(production.root));
    EXPECT_TRUE(is_development(development.root));
    EXPECT_TRUE(is_development(development.intermediate));
    EXPECT_FALSE(is_development(development.leaf));
}

TEST(Certificates, TwoOfAKindHaveDifferentNamesAndSerials) {
    const auto one = TestChain::make();
    const auto other = TestChain::make();

    EXPECT_NE(one.root.subject().common_name, other.root.subject().common_name);
    EXPECT_NE(one.intermediate.subject().common_name, other.intermediate.subject().common_name);
    EXPECT_NE(one.leaf.serial(), other.leaf.serial());
}

}  // namespace
}  // namespace alcove::attestation

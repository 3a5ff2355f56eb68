// SPDX-License-Identifier: Apache-2.0
#include "enclave/fabric_joins.hpp"

#include <gtest/gtest.h>

#include "api/vmm_messages.hpp"

namespace alcove::enclave {
namespace {

using api::shim::Phase;

struct FabricJoinsTest : testing::Test {
    struct Sent {
        uint16_t type;
        uint64_t cid;
        size_t descriptors;
        bool operator==(const Sent&) const = default;
    };
    std::vector<Sent> sent;
    FabricJoins joins{[this](const Bytes& message, const std::vector<Fd>& descriptors) {
        const auto envelope = api::open_envelope(message).value();
        const uint64_t cid = envelope.type == api::vmm::FabricJoin::kType
                                 ? api::decode<api::vmm::FabricJoin>(envelope)->peer_cid
                                 : api::decode<api::vmm::FabricLeave>(envelope)->peer_cid;
        sent.push_back({envelope.type, cid, descriptors.size()});
    }};

    static api::FabricPeer peer(uint64_t cid) {
        return {.cid = cid, .end = api::make_fabric_pair().value().first, .console_ring = {}};
    }
    static Sent joined(uint64_t cid) { return {api::vmm::FabricJoin::kType, cid, 3}; }
    static Sent left(uint64_t cid) { return {api::vmm::FabricLeave::kType, cid, 0}; }
};

TEST_F(FabricJoinsTest, AVmmThatIsThereIsToldAtOnce) {
    ASSERT_TRUE(joins.join(Phase::Running, peer(16)));
    joins.leave(Phase::Ready, 16);

    EXPECT_EQ(sent, (std::vector{joined(16), left(16)}));
}

TEST_F(FabricJoinsTest, JoinsWaitForTheLaunchAndGoOnce) {
    ASSERT_TRUE(joins.join(Phase::Copying, peer(16)));
    ASSERT_TRUE(joins.join(Phase::Reserving, peer(17)));
    ASSERT_TRUE(joins.join(Phase::Gathering, peer(18)));
    joins.leave(Phase::Reserving, 17);
    EXPECT_TRUE(sent.empty());

    joins.launched();
    joins.launched();

    EXPECT_EQ(sent, (std::vector{joined(16), joined(18)}));
}

TEST_F(FabricJoinsTest, NothingIsHeldForAVmThatEnds) {
    for (const Phase phase : {Phase::Stopping, Phase::Ended})
        EXPECT_EQ(joins.join(phase, peer(16)).error().code(), ErrorCode::EnclaveDied);
    ASSERT_TRUE(joins.join(Phase::Copying, peer(17)));
    joins.give_back();
    joins.leave(Phase::Ended, 17);
    joins.launched();

    EXPECT_TRUE(sent.empty());
}

TEST_F(FabricJoinsTest, WhatWaitsIsBounded) {
    for (uint64_t i = 0; i < FabricJoins::kMaxWaiting; ++i)
        ASSERT_TRUE(joins.join(Phase::Copying, peer(16 + i)));

    EXPECT_EQ(joins.join(Phase::Copying, peer(3)).error().code(), ErrorCode::LimitExceeded);
    EXPECT_TRUE(joins.join(Phase::Copying, peer(16))) << "in the place of the former one";
}

}  // namespace
}  // namespace alcove::enclave

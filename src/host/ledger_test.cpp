// SPDX-License-Identifier: Apache-2.0
#include "host/ledger.hpp"

#include <gtest/gtest.h>

#include "support/bits.hpp"

namespace alcove::host {
namespace {

// `nodes` nodes with `cores` lendable cores each of two threads; core 0 is the host's.
Capacity make_capacity(uint32_t nodes, uint32_t cores, uint64_t small, uint64_t huge) {
    Capacity capacity;
    uint32_t cpu = 0;
    const auto next_core = [&](NumaNode node) {
        const Core core{.id = CoreId{cpu}, .node = node, .package = 0, .cpus = {CpuId{cpu}, CpuId{cpu + 1}}};
        cpu += 2;
        return core;
    };
    capacity.reserve.push_back(next_core(NumaNode{0}));
    for (uint32_t n = 0; n < nodes; ++n) {
        NodeCapacity node{.node = NumaNode{n}, .lendable = {}, .small_bytes = small, .huge_bytes = huge};
        for (uint32_t c = 0; c < cores; ++c)
            node.lendable.push_back(next_core(NumaNode{n}));
        capacity.nodes.push_back(std::move(node));
    }
    return capacity;
}

Demand demand(const std::string& owner, uint32_t vcpus, uint64_t bytes) {
    return {.owner = owner, .vcpus = vcpus, .memory_bytes = bytes};
}

TEST(Ledger, CoresAreLentWhole) {
    auto ledger = Ledger::create(make_capacity(1, 2, 1_GiB, 0)).value();

    const auto lease = ledger.reserve(demand("a", 1, 64_MiB)).value();

    EXPECT_EQ(lease.grant().nodes.at(0).cores, std::vector{CoreId{2}});
    EXPECT_EQ(lease.grant().cpus, (std::vector{CpuId{2}, CpuId{3}}));
    EXPECT_EQ(lease.grant().memory_bytes(), 64_MiB);
}

TEST(Ledger, TwoVcpusFitOneCoreOfTwoThreads) {
    auto ledger = Ledger::create(make_capacity(1, 2, 1_GiB, 0)).value();

    const auto first = ledger.reserve(demand("a", 2, 64_MiB)).value();
    const auto second = ledger.reserve(demand("b", 2, 64_MiB)).value();
    const auto third = ledger.reserve(demand("c", 1, 64_MiB));

    EXPECT_EQ(first.grant().cpus.size(), 2U);
    EXPECT_EQ(second.grant().cpus.size(), 2U);
    EXPECT_EQ(third.error().code(), ErrorCode::NoFreeCores);
}

TEST(Ledger, CpusThatAreNamedAreLentAndNoOthers) {
    auto ledger = Ledger::create(make_capacity(2, 2, 1_GiB, 0)).value();  // CPUs 2 to 5, and 6 to 9
    auto wish = demand("a", 4, 64_MiB);
    wish.cpus = {CpuId{9}, CpuId{5}, CpuId{4}, CpuId{8}};

    const auto lease = ledger.reserve(wish);

    ASSERT_TRUE(lease) << lease.error().to_string();
    EXPECT_EQ(lease->grant().cpus, (std::vector{CpuId{4}, CpuId{5}, CpuId{8}, CpuId{9}}));
    EXPECT_EQ(lease->grant().memory_bytes(), 64_MiB);
    EXPECT_EQ(ledger.reserve(demand("b", 4, 64_MiB))->grant().cpus,
              (std::vector{CpuId{2}, CpuId{3}, CpuId{6}, CpuId{7}}));
}

TEST(Ledger, CpusThatCanNotBeLentAreRefused) {
    auto ledger = Ledger::create(make_capacity(1, 2, 1_GiB, 0)).value();  // CPUs 2 to 5
    const auto held = ledger.reserve(demand("a", 2, 64_MiB)).value();     // 2 and 3
    const auto refusal = [&](std::vector<CpuId> cpus, CpuPolicy policy = CpuPolicy::Dedicated) {
        auto wish = demand("b", 2, 64_MiB);
        wish.cpus = std::move(cpus);
        wish.policy = policy;
        const auto lease = ledger.reserve(wish);
        return lease ? ErrorCode::Internal : lease.error().code();
    };

    EXPECT_EQ(refusal({CpuId{2}, CpuId{3}}), ErrorCode::NoFreeCores) << "held";
    EXPECT_EQ(refusal({CpuId{0}, CpuId{1}}), ErrorCode::NoFreeCores) << "the host's";
    EXPECT_EQ(refusal({CpuId{6}, CpuId{7}}), ErrorCode::NoFreeCores) << "nobody's";
    EXPECT_EQ(refusal({CpuId{4}}), ErrorCode::InvalidArgument) << "one for two vCPUs";
    EXPECT_EQ(refusal({CpuId{4}, CpuId{4}}), ErrorCode::InvalidArgument) << "half a core, twice";
    EXPECT_EQ(refusal({CpuId{4}, CpuId{5}}, CpuPolicy::Shared), ErrorCode::InvalidArgument);
    EXPECT_EQ(refusal({CpuId{4}, CpuId{5}}), ErrorCode::Internal);
}

TEST(Ledger, ALeaseReturnsItself) {
    auto ledger = Ledger::create(make_capacity(1, 1, 64_MiB, 0)).value();
    {
        const auto lease = ledger.reserve(demand("a", 2, 64_MiB)).value();
        EXPECT_FALSE(ledger.reserve(demand("b", 1, 2_MiB)));
    }

    EXPECT_TRUE(ledger.reserve(demand("b", 2, 64_MiB)));
}

TEST(Ledger, AMovedLeaseReturnsOnce) {
    auto ledger = Ledger::create(make_capacity(1, 2, 64_MiB, 0)).value();
    auto first = ledger.reserve(demand("a", 2, 2_MiB)).value();
    auto second = ledger.reserve(demand("b", 2, 2_MiB)).value();

    second = std::move(first);

    EXPECT_FALSE(first.holds());
    ASSERT_EQ(ledger.grants().size(), 1U);
    EXPECT_EQ(ledger.grants()[0].owner, "a");
    second.give_back();
    second.give_back();
    EXPECT_TRUE(ledger.grants().empty());
}

TEST(Ledger, ALeaseMayOutliveItsLedger) {
    Lease lease;
    {
        auto ledger = Ledger::create(make_capacity(1, 2, 64_MiB, 0)).value();
        lease = ledger.reserve(demand("a", 2, 2_MiB)).value();
    }

    EXPECT_TRUE(lease.holds());
    lease.give_back();
    EXPECT_FALSE(lease.holds());
}

TEST(Ledger, SmallAndHugePagesAreSeparatePurses) {
    auto ledger = Ledger::create(make_capacity(1, 4, 64_MiB, 32_MiB)).value();
    auto huge = demand("h", 1, 32_MiB);
    huge.pages = PageSize::Size2M;
    auto more = demand("i", 1, 2_MiB);
    more.pages = PageSize::Size2M;

    const auto first = ledger.reserve(huge).value();
    const auto second = ledger.reserve(demand("s", 1, 64_MiB)).value();

    EXPECT_EQ(ledger.reserve(more).error().code(), ErrorCode::NoHugePages);
    EXPECT_EQ(ledger.reserve(demand("t", 1, 2_MiB)).error().code(), ErrorCode::NoFreeMemory);
}

TEST(Ledger, OneNodeIsPreferred) {
    auto ledger = Ledger::create(make_capacity(2, 2, 128_MiB, 0)).value();
    const auto filler = ledger.reserve(demand("filler", 2, 2_MiB)).value();  // node 0, one core left

    const auto large = ledger.reserve(demand("large", 4, 64_MiB)).value();
    const auto small = ledger.reserve(demand("small", 2, 64_MiB)).value();

    ASSERT_EQ(large.grant().nodes.size(), 1U);
    EXPECT_EQ(large.grant().nodes[0].node, NumaNode{1});
    ASSERT_EQ(small.grant().nodes.size(), 1U);
    EXPECT_EQ(small.grant().nodes[0].node, NumaNode{0});
}

TEST(Ledger, ADemandNoNodeCanMeetIsSpread) {
    auto ledger = Ledger::create(make_capacity(2, 2, 64_MiB, 0)).value();

    const auto lease = ledger.reserve(demand("a", 6, 100_MiB)).value();

    ASSERT_EQ(lease.grant().nodes.size(), 2U);
    EXPECT_EQ(lease.grant().memory_bytes(), 100_MiB);
    EXPECT_EQ(lease.grant().cpus.size(), 6U);
}

TEST(Ledger, OneNodePlacementRefusesToSpread) {
    auto ledger = Ledger::create(make_capacity(2, 2, 64_MiB, 0)).value();
    auto cores = demand("a", 6, 2_MiB);
    cores.placement = Placement::OneNode;
    auto memory = demand("b", 1, 100_MiB);
    memory.placement = Placement::OneNode;

    EXPECT_EQ(ledger.reserve(cores).error().code(), ErrorCode::NoFreeCores);
    EXPECT_FALSE(ledger.reserve(memory));
    EXPECT_TRUE(ledger.grants().empty());
}

TEST(Ledger, SharedIsRefusedWhereSiblingsCouldMeet) {
    auto capacity = make_capacity(1, 2, 64_MiB, 0);
    capacity.shared_policy_safe = false;
    auto ledger = Ledger::create(capacity).value();
    auto shared = demand("a", 2, 2_MiB);
    shared.policy = CpuPolicy::Shared;

    EXPECT_EQ(ledger.reserve(shared).error().code(), ErrorCode::Unsupported);
}

TEST(Ledger, SharedOwnersRunOnTheHostsCores) {
    auto ledger = Ledger::create(make_capacity(1, 1, 64_MiB, 0)).value();
    auto first = demand("a", 8, 2_MiB);
    first.policy = CpuPolicy::Shared;
    auto second = first;
    second.owner = "b";

    const auto a = ledger.reserve(first).value();
    const auto b = ledger.reserve(second).value();

    EXPECT_EQ(a.grant().cpus, (std::vector{CpuId{0}, CpuId{1}}));
    EXPECT_EQ(b.grant().cpus, a.grant().cpus);
    EXPECT_TRUE(a.grant().nodes.at(0).cores.empty());
}

TEST(Ledger, EpcIsMemoryOfTheHost) {
    auto ledger = Ledger::create(make_capacity(1, 4, 64_MiB, 0)).value();
    auto wanted = demand("a", 2, 32_MiB);
    wanted.epc_bytes = 8_MiB;
    {
        const auto lease = ledger.reserve(wanted).value();
        EXPECT_EQ(lease.grant().memory_bytes(), 32_MiB);
        EXPECT_EQ(lease.grant().epc_bytes(), 8_MiB);
        const auto account = ledger.account().at(0);
        EXPECT_EQ(account.lines.at(1).epc_bytes, 8_MiB);
        EXPECT_EQ(account.lines.back().small_bytes, 24_MiB);
        EXPECT_EQ(ledger.reserve(demand("b", 1, 32_MiB)).error().code(), ErrorCode::NoFreeMemory);
    }
    EXPECT_EQ(ledger.account().at(0).lines.back().small_bytes, 64_MiB);
}

TEST(Ledger, EpcOfAVmInHugePagesIsInSmallOnes) {
    auto ledger = Ledger::create(make_capacity(1, 4, 4_MiB, 64_MiB)).value();
    auto wanted = demand("a", 2, 64_MiB);
    wanted.pages = PageSize::Size2M;
    wanted.epc_bytes = 6_MiB;
    EXPECT_EQ(ledger.reserve(wanted).error().code(), ErrorCode::NoFreeMemory);

    wanted.epc_bytes = 4_MiB;
    const auto lease = ledger.reserve(wanted).value();
    EXPECT_EQ(ledger.account().at(0).lines.back().small_bytes, 0U);
}

TEST(Ledger, EpcIsTakenWhereTheVmIsAndElsewhereOnlyIfItMayBe) {
    auto ledger = Ledger::create(make_capacity(2, 2, 64_MiB, 0)).value();
    auto wanted = demand("a", 2, 60_MiB);
    wanted.epc_bytes = 8_MiB;
    wanted.placement = Placement::OneNode;
    EXPECT_FALSE(ledger.reserve(wanted));

    wanted.placement = Placement::AnyNodes;
    const auto lease = ledger.reserve(wanted).value();
    ASSERT_EQ(lease.grant().nodes.size(), 2U);
    EXPECT_EQ(lease.grant().nodes[0].epc_bytes, 4_MiB);
    EXPECT_EQ(lease.grant().nodes[1].epc_bytes, 4_MiB);
}

TEST(Ledger, EpcOfTheProcessorsIsAThingOfItsOwn) {
    auto capacity = make_capacity(2, 2, 64_MiB, 0);
    capacity.nodes[0].hardware_epc_bytes = 5_MiB + 4_KiB;
    capacity.nodes[1].hardware_epc_bytes = 8_MiB;
    auto ledger = Ledger::create(capacity).value();
    auto wanted = demand("a", 2, 64_MiB);
    wanted.hardware_epc_bytes = 7_MiB;
    {
        const auto lease = ledger.reserve(wanted).value();
        EXPECT_EQ(lease.grant().nodes.at(0).hardware_epc_bytes, 5_MiB) << "its own node first, in whole MiB";
        EXPECT_EQ(lease.grant().nodes.at(1).hardware_epc_bytes, 2_MiB);
        EXPECT_EQ(lease.grant().hardware_epc_bytes(), 7_MiB);
        EXPECT_EQ(lease.grant().memory_bytes(), 64_MiB) << "it is no memory";
        EXPECT_EQ(lease.grant().epc_bytes(), 0U);
        EXPECT_EQ(ledger.account().at(0).lines.at(1).hardware_epc_bytes, 5_MiB);
        EXPECT_EQ(ledger.account().at(1).lines.back().hardware_epc_bytes, 6_MiB);
        EXPECT_EQ(ledger.free_hardware_epc_bytes(), 6_MiB + 4_KiB);
    }
    EXPECT_EQ(ledger.free_hardware_epc_bytes(), 13_MiB + 4_KiB);
}

TEST(Ledger, MoreEpcThanTheProcessorsHaveLeavesNothing) {
    auto capacity = make_capacity(2, 2, 64_MiB, 0);
    capacity.nodes[0].hardware_epc_bytes = 4_MiB;
    auto ledger = Ledger::create(capacity).value();
    auto wanted = demand("a", 2, 32_MiB);
    wanted.hardware_epc_bytes = 6_MiB;

    const auto refused = ledger.reserve(wanted);

    EXPECT_EQ(refused.error().code(), ErrorCode::NoFreeEpc);
    EXPECT_NE(refused.error().message().find("4 MiB may still be lent"), std::string::npos);
    EXPECT_TRUE(ledger.grants().empty());
    wanted.hardware_epc_bytes = 4_KiB;
    EXPECT_EQ(ledger.reserve(wanted).error().code(), ErrorCode::InvalidArgument);
}

TEST(Ledger, EpcGrowsAndShrinksWithItsLease) {
    auto ledger = Ledger::create(make_capacity(2, 2, 64_MiB, 0)).value();
    auto wanted = demand("a", 2, 60_MiB);
    wanted.epc_bytes = 2_MiB;
    auto lease = ledger.reserve(wanted).value();

    ASSERT_TRUE(ledger.change_epc(lease, 8_MiB));
    EXPECT_EQ(lease.grant().nodes[0].epc_bytes, 4_MiB) << "its own node first";
    EXPECT_EQ(lease.grant().nodes[1].epc_bytes, 4_MiB);
    EXPECT_EQ(ledger.grants().at(0), lease.grant());

    const auto refused = ledger.change_epc(lease, 70_MiB);
    EXPECT_EQ(refused.error().code(), ErrorCode::NoFreeMemory);
    EXPECT_NE(refused.error().message().find("62 MiB of EPC asked for"), std::string::npos);
    EXPECT_NE(refused.error().message().find("60 MiB may still be lent"), std::string::npos);
    EXPECT_EQ(ledger.change_epc(lease, 1_MiB).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(lease.grant().epc_bytes(), 8_MiB);

    ASSERT_TRUE(ledger.change_epc(lease, 2_MiB));
    ASSERT_EQ(lease.grant().nodes.size(), 1U);
    EXPECT_EQ(lease.grant().epc_bytes(), 2_MiB);
    EXPECT_EQ(ledger.account().at(0).lines.back().small_bytes, 2_MiB);
    EXPECT_EQ(ledger.account().at(1).lines.back().small_bytes, 64_MiB);
    lease.give_back();
    EXPECT_EQ(ledger.account().at(0).lines.back().small_bytes, 64_MiB);
}

TEST(Ledger, EpcThatWasBookedBeyondTheCapacityCanOnlyShrink) {
    auto ledger = Ledger::create(make_capacity(1, 2, 4_MiB, 0)).value();
    auto lease =
        ledger.adopt({.owner = "a", .nodes = {{.node = {0}, .epc_bytes = 8_MiB}}, .cpus = {}}).value();

    EXPECT_EQ(ledger.change_epc(lease, 10_MiB).error().code(), ErrorCode::NoFreeMemory);
    EXPECT_TRUE(ledger.change_epc(lease, 6_MiB));
    EXPECT_EQ(lease.grant().epc_bytes(), 6_MiB);
}

TEST(Ledger, WhatIsCarvedOutOfAVmLeavesItItsEpc) {
    auto ledger = Ledger::create(make_capacity(1, 2, 64_MiB, 0)).value();
    auto wanted = demand("a", 4, 32_MiB);
    wanted.epc_bytes = 4_MiB;
    auto primary = ledger.reserve(wanted).value();
    auto enclave = ledger.open("b", PageSize::Size4K, CpuPolicy::Dedicated).value();

    ASSERT_TRUE(ledger.transfer(primary, enclave, primary.grant().nodes[0].cores, 32_MiB));

    ASSERT_EQ(primary.grant().nodes.size(), 1U);
    EXPECT_EQ(primary.grant().epc_bytes(), 4_MiB);
    EXPECT_EQ(enclave.grant().epc_bytes(), 0U);
}

TEST(Ledger, AnOwnerHasOneLease) {
    auto ledger = Ledger::create(make_capacity(1, 2, 64_MiB, 0)).value();
    const auto lease = ledger.reserve(demand("a", 1, 2_MiB)).value();

    EXPECT_EQ(ledger.reserve(demand("a", 1, 2_MiB)).error().code(), ErrorCode::AlreadyExists);
    EXPECT_EQ(ledger.adopt(lease.grant()).error().code(), ErrorCode::AlreadyExists);
}

TEST(Ledger, NonsenseIsRefused) {
    auto ledger = Ledger::create(make_capacity(1, 2, 64_MiB, 0)).value();

    EXPECT_EQ(ledger.reserve(demand("", 1, 2_MiB)).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(ledger.reserve(demand("host", 1, 2_MiB)).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(ledger.reserve(demand("a", 0, 2_MiB)).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(ledger.reserve(demand("a", 1, 0)).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(ledger.reserve(demand("a", 1, 3_MiB)).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(ledger.reserve(demand("a", 0xffff'ffff, 2_MiB)).error().code(), ErrorCode::NoFreeCores);
    EXPECT_EQ(ledger.reserve(demand("a", 1, ~uint64_t{0} << 21)).error().code(), ErrorCode::NoFreeMemory);
}

TEST(Ledger, AnAdoptedGrantIsBooked) {
    auto before = Ledger::create(make_capacity(1, 2, 64_MiB, 0)).value();
    const auto grant = before.reserve(demand("a", 2, 64_MiB)).value().grant();
    auto after = Ledger::create(make_capacity(1, 2, 64_MiB, 0)).value();

    const auto lease = after.adopt(grant).value();

    EXPECT_EQ(lease.grant(), grant);
    EXPECT_EQ(after.reserve(demand("b", 1, 2_MiB)).error().code(), ErrorCode::NoFreeMemory);
}

TEST(Ledger, AnAdoptedGrantBeyondTheCapacityLeavesNothingFree) {
    auto ledger = Ledger::create(make_capacity(1, 2, 64_MiB, 0)).value();
    Grant grant{
        .owner = "a", .pages = PageSize::Size4K, .policy = CpuPolicy::Dedicated, .nodes = {}, .cpus = {}};
    grant.nodes = {
        {.node = NumaNode{0}, .cores = {CoreId{0}}, .memory_bytes = 1_GiB}};  // the host's core now

    const auto lease = ledger.adopt(grant).value();

    const auto account = ledger.account().at(0);
    EXPECT_TRUE(account.lines.front().cores.empty());
    EXPECT_EQ(account.lines.back().small_bytes, 0U);
    EXPECT_EQ(account.lines.back().cores.size(), 2U);
}

TEST(Ledger, AGrantThatConflictsIsNotAdopted) {
    auto ledger = Ledger::create(make_capacity(1, 2, 64_MiB, 0)).value();
    const auto lease = ledger.reserve(demand("a", 2, 2_MiB)).value();
    auto taken = lease.grant();
    taken.owner = "b";
    auto twice = taken;
    twice.nodes[0].cores = {CoreId{4}, CoreId{4}};
    auto unknown = taken;
    unknown.nodes[0].cores = {CoreId{77}};

    EXPECT_EQ(ledger.adopt(taken).error().code(), ErrorCode::AlreadyExists);
    EXPECT_EQ(ledger.adopt(twice).error().code(), ErrorCode::AlreadyExists);
    EXPECT_EQ(ledger.adopt(unknown).error().code(), ErrorCode::NotFound);
    EXPECT_EQ(ledger.grants().size(), 1U);
}

TEST(Ledger, ACapacityThatNamesACpuTwiceIsRefused) {
    auto capacity = make_capacity(1, 2, 64_MiB, 0);
    capacity.nodes[0].lendable.push_back(capacity.reserve[0]);

    EXPECT_EQ(Ledger::create(capacity).error().code(), ErrorCode::InvalidArgument);
}

TEST(Ledger, PartsOfALeasePassToAnotherOwnerAndBack) {
    auto ledger = Ledger::create(make_capacity(1, 3, 1_GiB, 0)).value();
    auto parent = ledger.reserve(demand("parent", 4, 512_MiB)).value();
    auto child = ledger.open("child", PageSize::Size4K, CpuPolicy::Dedicated).value();

    ASSERT_TRUE(ledger.transfer(parent, child, {CoreId{4}}, 128_MiB));

    EXPECT_EQ(parent.grant().cpus, (std::vector{CpuId{2}, CpuId{3}}));
    EXPECT_EQ(parent.grant().memory_bytes(), 384_MiB);
    EXPECT_EQ(child.grant().cpus, (std::vector{CpuId{4}, CpuId{5}}));
    EXPECT_EQ(child.grant().memory_bytes(), 128_MiB);
    EXPECT_EQ(ledger.grants(), (std::vector{child.grant(), parent.grant()}));

    ASSERT_TRUE(ledger.transfer(child, parent, {CoreId{4}}, 128_MiB));

    EXPECT_EQ(parent.grant().memory_bytes(), 512_MiB);
    EXPECT_EQ(parent.grant().nodes.at(0).cores, (std::vector{CoreId{2}, CoreId{4}}));
    EXPECT_TRUE(child.grant().nodes.empty());
}

TEST(Ledger, ATransferOfWhatIsNotHeldMovesNothing) {
    auto ledger = Ledger::create(make_capacity(1, 3, 1_GiB, 0)).value();
    auto parent = ledger.reserve(demand("parent", 2, 64_MiB)).value();
    auto child = ledger.open("child", PageSize::Size4K, CpuPolicy::Dedicated).value();
    const Grant before = parent.grant();

    EXPECT_FALSE(ledger.transfer(parent, child, {CoreId{4}}, 0));
    EXPECT_FALSE(ledger.transfer(parent, child, {CoreId{2}}, 65_MiB));

    EXPECT_EQ(parent.grant(), before);
    EXPECT_TRUE(child.grant().nodes.empty());
}

TEST(Ledger, WhatPassedOnGoesBackToTheHostWithItsNewOwner) {
    auto ledger = Ledger::create(make_capacity(1, 2, 1_GiB, 0)).value();
    auto parent = ledger.reserve(demand("parent", 4, 512_MiB)).value();
    auto child = ledger.open("child", PageSize::Size4K, CpuPolicy::Dedicated).value();
    ASSERT_TRUE(ledger.transfer(parent, child, {CoreId{4}}, 128_MiB));

    child.give_back();

    EXPECT_EQ(ledger.account().at(0).lines.back().cores, std::vector{CoreId{4}});
    EXPECT_EQ(ledger.account().at(0).lines.back().small_bytes, 1_GiB - 384_MiB);
}

}  // namespace
}  // namespace alcove::host

// SPDX-License-Identifier: Apache-2.0
#include "host/capacity.hpp"

#include <gtest/gtest.h>

#include "support/bits.hpp"

namespace alcove::host {
namespace {

HostMemory memory_of(std::vector<uint64_t> free_by_node, uint64_t available) {
    HostMemory memory{
        .total_bytes = 64_GiB, .available_bytes = available, .swap_total_bytes = 0, .nodes = {}};
    uint32_t number = 0;
    for (const auto free : free_by_node) {
        memory.nodes.push_back(
            {.node = NumaNode{number++}, .total_bytes = 32_GiB, .free_bytes = free, .huge_2m = {}});
    }
    return memory;
}

TEST(Capacity, CoreZeroIsNeverLent) {
    const auto topology = describe_topology("core:4 pu:2").value();

    const auto capacity = lending_capacity(topology, memory_of({8_GiB}, 8_GiB), Answer::No, {}).value();

    ASSERT_EQ(capacity.reserve.size(), 1U);
    EXPECT_EQ(capacity.reserve[0].cpus, (std::vector{CpuId{0}, CpuId{1}}));
    EXPECT_EQ(capacity.nodes.at(0).lendable.size(), 3U);
}

TEST(Capacity, MoreCoresCanBeKept) {
    const auto topology = describe_topology("core:4 pu:2").value();

    const auto capacity =
        lending_capacity(topology, memory_of({8_GiB}, 8_GiB), Answer::No, {.reserved_cores = 3}).value();

    EXPECT_EQ(capacity.reserve.size(), 3U);
    EXPECT_EQ(capacity.nodes.at(0).lendable.size(), 1U);
}

TEST(Capacity, ACoreWithAForeignSiblingIsKept) {
    auto topology = describe_topology("core:3 pu:2").value();
    topology.cores[1].foreign = {CpuId{3}};

    const auto capacity = lending_capacity(topology, memory_of({8_GiB}, 8_GiB), Answer::No, {}).value();

    ASSERT_EQ(capacity.reserve.size(), 2U);
    EXPECT_EQ(capacity.reserve[1].cpus, std::vector{CpuId{2}});
    ASSERT_EQ(capacity.nodes.at(0).lendable.size(), 1U);
    EXPECT_EQ(capacity.nodes.at(0).lendable[0].id, CoreId{4});
}

TEST(Capacity, ACoreOfSomebodyElseIsNowhere) {
    auto topology = describe_topology("core:3 pu:2").value();
    topology.cores[1].foreign = topology.cores[1].cpus;

    const auto capacity = lending_capacity(topology, memory_of({8_GiB}, 8_GiB), Answer::No, {}).value();

    EXPECT_EQ(capacity.reserve.size(), 1U);
    EXPECT_EQ(capacity.nodes.at(0).lendable.size(), 1U);
}

TEST(Capacity, ACoreThatIsLentIsLendableThoughItIsOutOfOurReach) {
    // A VM that outlived the daemon: the kernel took its core from the daemon's cpuset.
    auto topology = describe_topology("core:3 pu:2").value();
    topology.cores[2].foreign = topology.cores[2].cpus;

    const auto capacity = lending_capacity(topology, memory_of({8_GiB}, 8_GiB), Answer::No, {},
                                           {{.node = NumaNode{0}, .cores = {CoreId{4}}}})
                              .value();

    ASSERT_EQ(capacity.nodes.at(0).lendable.size(), 2U);
    EXPECT_EQ(capacity.nodes.at(0).lendable[1].cpus, (std::vector{CpuId{4}, CpuId{5}}));
}

TEST(Capacity, TheShareOfMemoryIsDividedAsMemoryIsFree) {
    const auto topology = describe_topology("[numa] package:1 core:2 pu:1").value();
    auto two = describe_topology("package:2 [numa] core:2 pu:1").value();

    const auto one_node = lending_capacity(topology, memory_of({4_GiB}, 8_GiB), Answer::No, {}).value();
    const auto two_nodes = lending_capacity(two, memory_of({1_GiB, 3_GiB}, 8_GiB), Answer::No, {}).value();

    EXPECT_EQ(one_node.nodes.at(0).small_bytes, 6_GiB);
    EXPECT_EQ(two_nodes.nodes.at(0).small_bytes, 1536_MiB);
    EXPECT_EQ(two_nodes.nodes.at(1).small_bytes, 4608_MiB);
}

TEST(Capacity, OfHugePagesOneANodeIsKeptBackForCarving) {
    const auto topology = describe_topology("package:2 [numa] core:2 pu:1").value();
    auto memory = memory_of({4_GiB, 4_GiB}, 8_GiB);
    memory.nodes[0].huge_2m = {.total_pages = 100, .free_pages = 90};
    memory.nodes[1].huge_2m = {.total_pages = 1, .free_pages = 1};

    const auto capacity = lending_capacity(topology, memory, Answer::No, {}).value();

    EXPECT_EQ(capacity.nodes.at(0).huge_bytes, 178_MiB);
    EXPECT_EQ(capacity.nodes.at(1).huge_bytes, 0U);
}

TEST(Capacity, HugePagesThatAreLentStayLendableWhileAChunkIsOnItsWay) {
    const auto topology = describe_topology("core:2 pu:1").value();
    auto memory = memory_of({4_GiB}, 4_GiB);
    const std::vector<AlreadyLent> lent = {{.node = NumaNode{0}, .cores = {}, .huge_bytes = 128_MiB}};

    for (const uint64_t free : {0, 1}) {
        memory.nodes[0].huge_2m = {.total_pages = 65, .free_pages = free};
        EXPECT_EQ(lending_capacity(topology, memory, Answer::No, {}, lent)->nodes.at(0).huge_bytes, 128_MiB);
    }
}

TEST(Capacity, WhatIsLentAlreadyCountsAsLendable) {
    const auto topology = describe_topology("core:2 pu:1").value();

    const auto capacity =
        lending_capacity(topology, memory_of({4_GiB}, 4_GiB), Answer::No, {},
                         {{.node = NumaNode{0}, .cores = {}, .small_bytes = 1_GiB, .huge_bytes = 2_MiB}})
            .value();

    EXPECT_EQ(capacity.nodes.at(0).small_bytes, 4_GiB);
    EXPECT_EQ(capacity.nodes.at(0).huge_bytes, 2_MiB);
}

TEST(Capacity, SharedIsSafeWithoutSmtOrWithCoreScheduling) {
    const auto smt = describe_topology("core:2 pu:2").value();
    const auto plain = describe_topology("core:2 pu:1").value();
    const auto memory = memory_of({4_GiB}, 4_GiB);

    EXPECT_FALSE(lending_capacity(smt, memory, Answer::No, {})->shared_policy_safe);
    EXPECT_FALSE(lending_capacity(smt, memory, Answer::NotTried, {})->shared_policy_safe);
    EXPECT_TRUE(lending_capacity(smt, memory, Answer::Yes, {})->shared_policy_safe);
    EXPECT_TRUE(lending_capacity(plain, memory, Answer::No, {})->shared_policy_safe);
}

TEST(Capacity, RulesOutOfRangeAreRefused) {
    const auto topology = describe_topology("core:2 pu:1").value();
    const auto memory = memory_of({4_GiB}, 4_GiB);

    EXPECT_EQ(lending_capacity(topology, memory, Answer::No, {.reserved_cores = 0}).error().code(),
              ErrorCode::InvalidArgument);
    EXPECT_EQ(lending_capacity(topology, memory, Answer::No, {.memory_share_percent = 96}).error().code(),
              ErrorCode::InvalidArgument);
    EXPECT_EQ(lending_capacity(topology, memory, Answer::No, {.memory_share_percent = 0}).error().code(),
              ErrorCode::InvalidArgument);
}

TEST(Capacity, MemoryThatIsGoneNowIsSaid) {
    auto memory = memory_of({4_GiB}, 1_GiB);
    memory.nodes[0].huge_2m = {.total_pages = 4, .free_pages = 3};

    EXPECT_TRUE(check_memory_now(memory, 1_GiB, PageSize::Size4K));
    EXPECT_EQ(check_memory_now(memory, 1026_MiB, PageSize::Size4K).error().code(), ErrorCode::NoFreeMemory);
    EXPECT_TRUE(check_memory_now(memory, 6_MiB, PageSize::Size2M));
    EXPECT_EQ(check_memory_now(memory, 8_MiB, PageSize::Size2M).error().code(), ErrorCode::NoHugePages);
}

TEST(Capacity, EpcIsLentWhereVmsCanHaveIt) {
    const auto topology = describe_topology("package:2 [numa] core:2 pu:1").value();
    auto capacity = lending_capacity(topology, memory_of({8_GiB, 8_GiB}, 16_GiB), Answer::Yes, {}).value();
    SgxHardware sgx{.present = true, .sgx1 = true};
    sgx.nodes = {{.node = {1}, .total_bytes = 96_MiB}, {.node = {7}, .total_bytes = 1_MiB}};

    add_hardware_epc(capacity, sgx);
    EXPECT_EQ(capacity.nodes.at(1).hardware_epc_bytes, 0U) << "there is no /dev/sgx_vepc";
    sgx.virtual_epc_device = true;
    add_hardware_epc(capacity, sgx);

    EXPECT_EQ(capacity.nodes.at(0).hardware_epc_bytes, 0U);
    EXPECT_EQ(capacity.nodes.at(1).hardware_epc_bytes, 96_MiB);
}

}  // namespace
}  // namespace alcove::host

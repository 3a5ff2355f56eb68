// SPDX-License-Identifier: Apache-2.0
#include "host/topology.hpp"

#include <gtest/gtest.h>

namespace alcove::host {
namespace {

TEST(Topology, CoresCarryTheirSiblingsAndNode) {
    const auto topology = describe_topology("package:2 [numa] core:2 pu:2").value();

    EXPECT_EQ(topology.packages, 2U);
    EXPECT_EQ(topology.nodes, (std::vector{NumaNode{0}, NumaNode{1}}));
    ASSERT_EQ(topology.cores.size(), 4U);
    EXPECT_EQ(topology.cpu_count(), 8U);
    EXPECT_EQ(topology.cores[2].id, CoreId{4});
    EXPECT_EQ(topology.cores[2].cpus, (std::vector{CpuId{4}, CpuId{5}}));
    EXPECT_EQ(topology.cores[2].node, NumaNode{1});
    EXPECT_EQ(topology.cores[2].package, 1U);
    EXPECT_TRUE(topology.has_smt());
}

TEST(Topology, AMachineWithOneThreadPerCoreHasNoSmt) {
    const auto topology = describe_topology("core:4 pu:1").value();

    EXPECT_FALSE(topology.has_smt());
    EXPECT_EQ(topology.cores.size(), 4U);
}

TEST(Topology, AnUnreadableDescriptionIsRefused) {
    EXPECT_EQ(describe_topology("core:many").error().code(), ErrorCode::InvalidArgument);
}

TEST(Topology, ThisHostHasACoreAndANode) {
    const auto topology = read_topology();

    ASSERT_TRUE(topology) << topology.error().to_string();
    EXPECT_FALSE(topology->cores.empty());
    EXPECT_FALSE(topology->nodes.empty());
    EXPECT_EQ(topology->cores.front().id.value, topology->cores.front().cpus.front().value);
}

}  // namespace
}  // namespace alcove::host

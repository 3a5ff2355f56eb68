// SPDX-License-Identifier: Apache-2.0
#include "daemon/primary_shape.hpp"

#include <gtest/gtest.h>

namespace alcove::daemon {
namespace {

host::Core core(uint32_t first, uint32_t threads) {
    host::Core core{.id = host::CoreId{first}, .node = {}};
    for (uint32_t thread = 0; thread < threads; ++thread)
        core.cpus.push_back(host::CpuId{first + thread});
    return core;
}

TEST(PrimaryShape, SiblingsAreShownWhereAllCoresHaveTwoThreads) {
    const auto shape = shape_of(4, {core(2, 2), core(4, 2)});

    EXPECT_EQ(shape.threads_per_core, 2U);
    EXPECT_EQ(shape.core_of_vcpu, (std::vector<uint32_t>{2, 2, 4, 4}));
}

TEST(PrimaryShape, OfAnOddNumberTheLastHasNoSibling) {
    const auto shape = shape_of(3, {core(2, 2), core(4, 2)});

    EXPECT_EQ(shape.threads_per_core, 2U);
    EXPECT_EQ(shape.core_of_vcpu, (std::vector<uint32_t>{2, 2, 4}));
    EXPECT_EQ(shape_of(1, {core(2, 2)}).threads_per_core, 1U);
}

TEST(PrimaryShape, CoresOfBothKindsHideAllSiblings) {
    EXPECT_EQ(shape_of(3, {core(2, 2), core(4, 1)}).threads_per_core, 1U);
}

TEST(PrimaryShape, CoresOfOneThreadAreOneVcpuEach) {
    const auto shape = shape_of(2, {core(1, 1), core(2, 1)});

    EXPECT_EQ(shape.threads_per_core, 1U);
    EXPECT_EQ(shape.core_of_vcpu, (std::vector<uint32_t>{1, 2}));
}

TEST(PrimaryShape, VcpusOfASharedVmAreCoresToIt) {
    EXPECT_EQ(shape_of(3, {}).core_of_vcpu, (std::vector<uint32_t>{0, 1, 2}));
}

TEST(PrimaryShape, CoresBehindVcpusAreNamedOnce) {
    const auto shape = shape_of(4, {core(2, 2), core(4, 2)});

    EXPECT_EQ(cores_behind(shape, {ne::VcpuId{3}, ne::VcpuId{2}}), std::vector{host::CoreId{4}});
    EXPECT_EQ(cores_behind(shape, {ne::VcpuId{9}}), std::vector<host::CoreId>{});
}

}  // namespace
}  // namespace alcove::daemon

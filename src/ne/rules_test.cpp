// SPDX-License-Identifier: Apache-2.0
#include "ne/rules.hpp"

#include <cerrno>

#include <gtest/gtest.h>

#include "support/bits.hpp"

namespace alcove::ne {
namespace {

Parent two_ranges() {
    return {.ram = {{memory::GuestAddress(0), 16_MiB}, {memory::GuestAddress(4_GiB), 16_MiB}},
            .core_of_vcpu = {0, 0, 1, 1}};
}

TEST(NeRegionRule, WholeRegionsInsideOneRangeOfRamAreFine) {
    const auto parent = two_ranges();
    EXPECT_EQ(check_region(parent, 0, 2_MiB), 0);
    EXPECT_EQ(check_region(parent, 14_MiB, 2_MiB), 0);
    EXPECT_EQ(check_region(parent, 4_GiB, 16_MiB), 0);
}

TEST(NeRegionRule, EverythingElseIsRefused) {
    const auto parent = two_ranges();
    const struct {
        uint64_t paddr;
        uint64_t size;
    } regions[] = {
        {0, 0},
        {1_MiB, 2_MiB},
        {2_MiB, 1_MiB},
        {2_MiB, 4096},
        {14_MiB, 4_MiB},                    // leaves RAM
        {16_MiB, 2_MiB},                    // behind it
        {0xd0000000, 2_MiB},                // MMIO
        {0, 4_GiB + 16_MiB},                // over the hole
        {4_GiB - 2_MiB, 4_MiB},             // begins before RAM
        {~uint64_t{0} - 2_MiB + 1, 2_MiB},  // ends at 2^64
        {~uint64_t{0} - 2_MiB + 1, 4_MiB},  // wraps
        {2_MiB, ~uint64_t{0} - 2_MiB + 1},  // sums to 2^64
        {2_MiB, bit<uint64_t>(63)},
    };
    for (const auto& region : regions)
        EXPECT_EQ(check_region(parent, region.paddr, region.size), EINVAL)
            << std::hex << region.paddr << "+" << region.size;
}

TEST(NeRegionRule, ALargerBackingPageIsTheGranule) {
    auto parent = two_ranges();
    parent.backing_page = 8_MiB;
    EXPECT_EQ(check_region(parent, 2_MiB, 2_MiB), EINVAL);
    EXPECT_EQ(check_region(parent, 8_MiB, 2_MiB), EINVAL);
    EXPECT_EQ(check_region(parent, 8_MiB, 8_MiB), 0);
}

TEST(NeRegionRule, WhatIsCarvedIsNotCarvedAgain) {
    const auto parent = two_ranges();
    CarvedMap carved(parent.ram);
    carved.add({memory::GuestAddress(4_MiB), 4_MiB}, SlotUid{1});

    EXPECT_EQ(check_new_region(parent, carved, SlotUid{1}, 2_MiB, 2_MiB), 0);
    EXPECT_EQ(check_new_region(parent, carved, SlotUid{2}, 8_MiB, 2_MiB), 0);
    for (const uint64_t paddr : {2_MiB, 4_MiB, 6_MiB})
        EXPECT_EQ(check_new_region(parent, carved, SlotUid{1}, paddr, 4_MiB), EBUSY) << paddr;
    EXPECT_EQ(check_new_region(parent, carved, SlotUid{1}, 15_MiB, 2_MiB), EINVAL);
}

TEST(NeRegionRule, RamDoesNotComeToLieInTooManyPieces) {
    auto parent = two_ranges();
    parent.max_ram_pieces = 2;
    const CarvedMap carved(parent.ram);

    EXPECT_EQ(check_new_region(parent, carved, SlotUid{1}, 0, 2_MiB), 0) << "at an end";
    EXPECT_EQ(check_new_region(parent, carved, SlotUid{1}, 4_MiB, 2_MiB), ENOSPC);
}

TEST(NeVcpuRule, TheFirstCoreStaysWithTheParent) {
    const auto parent = two_ranges();
    EXPECT_EQ(check_vcpu(parent, 0), EBUSY);
    EXPECT_EQ(check_vcpu(parent, 1), EBUSY);
    EXPECT_EQ(check_vcpu(parent, 2), 0);
    EXPECT_EQ(check_vcpu(parent, 3), 0);
}

TEST(NeVcpuRule, NumbersWithoutAVcpuAreRefused) {
    const auto parent = two_ranges();
    for (const uint64_t id : {uint64_t{4}, uint64_t{0xffffffff}, uint64_t{0x100000002}})
        EXPECT_EQ(check_vcpu(parent, id), EINVAL) << id;
}

TEST(NeCidRule, ReservedCidsAreRefused) {
    for (const uint64_t cid : {uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{0xffffffff},
                               uint64_t{0x100000000}, uint64_t{0x100000010}, ~uint64_t{0}})
        EXPECT_EQ(check_start_cid(cid), EINVAL) << cid;
    for (const uint64_t cid : {uint64_t{0}, uint64_t{4}, uint64_t{16}, uint64_t{0xfffffffe}})
        EXPECT_EQ(check_start_cid(cid), 0) << cid;
}

TEST(NeFlagRule, OnlyDebugModeIsKnown) {
    EXPECT_EQ(check_start_flags(0), 0);
    EXPECT_EQ(check_start_flags(EnclaveStart::DEBUG_MODE), 0);
    EXPECT_EQ(check_start_flags(2), EINVAL);
    EXPECT_EQ(check_start_flags(bit<uint64_t>(63)), EINVAL);
}

}  // namespace
}  // namespace alcove::ne

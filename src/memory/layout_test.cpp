// SPDX-License-Identifier: Apache-2.0
//
// Every address here is contract: a line that has to be changed is a new machine version.
#include "memory/layout.hpp"

#include <gtest/gtest.h>

namespace alcove::memory::layout {
namespace {

static_assert(kLowRamLimit == 0xc000'0000);
static_assert(kHighRamStart == 0x1'0000'0000);
static_assert(kVirtioMmioBase == 0xd000'0000);
static_assert(kVirtioMmioStride == 0x1000);
static_assert(kVirtioMmioMax == 8);
static_assert(kPciMmio32.base.value() == 0xc000'0000 && kPciMmio32.size == 0x1000'0000);
static_assert(kPciEcam.base.value() == 0xe000'0000 && kPciEcam.size == 0x10'0000);
static_assert(kPciMmio64.base.value() == 0x70'0000'0000 && kPciMmio64.size == 0x10'0000'0000);
static_assert(kSgxPrivate.base.value() == 0x6f'c000'0000 && kSgxPrivate.size == 0x4000'0000);
static_assert(kIoApic == 0xfec0'0000);
static_assert(kLocalApic == 0xfee0'0000);
static_assert(kKvmIdentityMap == 0xfffb'c000);
static_assert(kKvmTss == 0xfffb'd000);

TEST(Layout, RamUpToThreeGibIsOneRange) {
    const auto regions = ram_regions(0xc000'0000);

    ASSERT_EQ(regions.size(), 1U);
    EXPECT_EQ(regions[0].range.base.value(), 0U);
    EXPECT_EQ(regions[0].range.size, 0xc000'0000U);
    EXPECT_EQ(regions[0].file_offset, 0U);
}

TEST(Layout, RamBeyondThreeGibGoesOnAtFour) {
    const auto regions = ram_regions(0xc000'1000);

    ASSERT_EQ(regions.size(), 2U);
    EXPECT_EQ(regions[0].range.size, 0xc000'0000U);
    EXPECT_EQ(regions[1].range.base.value(), 0x1'0000'0000U);
    EXPECT_EQ(regions[1].range.size, 0x1000U);
    EXPECT_EQ(regions[1].file_offset, 0xc000'0000U);
}

TEST(Layout, DevicesAreInTheGapAndAtTheTopOfTheAddressSpace) {
    const auto ranges = device_ranges();

    ASSERT_EQ(ranges.size(), 2U);
    EXPECT_EQ(ranges[0].base.value(), 0xc000'0000U);
    EXPECT_EQ(ranges[0].end(), 0x1'0000'0000U);
    EXPECT_EQ(ranges[1].base.value(), 0x70'0000'0000U);
    EXPECT_EQ(ranges[1].end(), 0x80'0000'0000U);
}

}  // namespace
}  // namespace alcove::memory::layout

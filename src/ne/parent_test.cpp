// SPDX-License-Identifier: Apache-2.0
#include "ne/parent.hpp"

#include <functional>

#include <gtest/gtest.h>

#include "ne/backend_fake.hpp"

namespace alcove::ne {
namespace {

TEST(NeParent, OrdinaryPrimariesAreAccepted) {
    EXPECT_TRUE(small_parent().check());
    auto large = small_parent();
    large.ram = {{memory::GuestAddress(0), 3_GiB}, {memory::GuestAddress(4_GiB), 5_GiB}};
    large.backing_page = 2_MiB;
    EXPECT_TRUE(large.check());
}

TEST(NeParent, WhatNoPrimaryIsIsRefused) {
    using memory::GuestAddress;
    const std::function<void(Parent&)> spoilers[] = {
        [](Parent& parent) { parent.backing_page = 0; },
        [](Parent& parent) { parent.backing_page = 3 * 4096; },
        [](Parent& parent) { parent.backing_page = 2048; },
        [](Parent& parent) { parent.ram.clear(); },
        [](Parent& parent) { parent.ram[0].size = 0; },
        [](Parent& parent) { parent.ram[0].size = 4097; },
        [](Parent& parent) {
            parent.ram = {{GuestAddress(~uint64_t{4095}), 4096}};
        },
        [](Parent& parent) {
            parent.ram = {{GuestAddress(0), 2_MiB}, {GuestAddress(2_MiB), 2_MiB}};
        },
        [](Parent& parent) {
            parent.ram = {{GuestAddress(8_MiB), 2_MiB}, {GuestAddress(0), 2_MiB}};
        },
        [](Parent& parent) { parent.core_of_vcpu.clear(); },
        [](Parent& parent) { parent.max_slots = 0; },
        [](Parent& parent) { parent.max_ram_pieces = 0; },
    };
    for (size_t i = 0; i < std::size(spoilers); ++i) {
        auto parent = small_parent();
        spoilers[i](parent);
        EXPECT_FALSE(parent.check()) << i;
    }
}

TEST(NeParent, ThereMayBeARegionForEachGranuleOfRam) {
    auto parent = small_parent();
    EXPECT_EQ(parent.max_regions(), 128U);
    parent.backing_page = 16_MiB;
    EXPECT_EQ(parent.granule(), 16_MiB);
    EXPECT_EQ(parent.max_regions(), 16U);
}

}  // namespace
}  // namespace alcove::ne

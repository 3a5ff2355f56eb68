// SPDX-License-Identifier: Apache-2.0
#include "pci/bar_map.hpp"

#include <gtest/gtest.h>

#include "pci/function_fake.hpp"

namespace alcove::pci {
namespace {

using memory::GuestAddress;

class BarMapTest : public testing::Test {
  protected:
    Bytes read(uint64_t address, size_t width) {
        Bytes data(width, 0);
        (void)map_.read(address, data);
        return data;
    }

    FakeInterrupts interrupts_;
    FakeFunction first_{interrupts_};
    FakeFunction second_{interrupts_};
    BarMap map_{{{GuestAddress(0x1000), 0x10000}, {GuestAddress(0x10'0000'0000), 0x10000}}};
};

TEST_F(BarMapTest, AccessesReachTheBarThatIsThere) {
    map_.place(first_, 0, {GuestAddress(0x2000), 0x1000});
    map_.place(second_, 2, {GuestAddress(0x3000), 0x2000});

    EXPECT_EQ(read(0x2004, 2), (Bytes{4, 5}));
    EXPECT_TRUE(map_.write(0x4008, Bytes{7}));

    ASSERT_EQ(second_.writes.size(), 1U);
    EXPECT_EQ(second_.writes[0], (FakeFunction::Access{2, 0x1008, {7}}));
    EXPECT_TRUE(first_.writes.empty());
}

TEST_F(BarMapTest, WhatNoBarHoldsWholeReadsAsOnes) {
    map_.place(first_, 0, {GuestAddress(0x2000), 0x1000});
    map_.place(second_, 0, {GuestAddress(0x3000), 0x1000});

    EXPECT_EQ(read(0x1ffe, 4), Bytes(4, 0xff));
    EXPECT_EQ(read(0x2ffe, 4), Bytes(4, 0xff)) << "half of each";
    EXPECT_FALSE(map_.write(0x4000, Bytes{1}));
    EXPECT_FALSE(map_.write(~uint64_t{0}, Bytes{1}));
}

TEST_F(BarMapTest, TheFirstOfTwoAtOnePlaceAnswers) {
    map_.place(first_, 0, {GuestAddress(0x2000), 0x1000});
    map_.place(second_, 0, {GuestAddress(0x2000), 0x1000});
    EXPECT_TRUE(map_.write(0x2000, Bytes{1}));
    EXPECT_EQ(first_.writes.size(), 1U);

    map_.remove(first_, 0);
    EXPECT_TRUE(map_.write(0x2000, Bytes{1}));
    EXPECT_EQ(second_.writes.size(), 1U);
}

TEST_F(BarMapTest, OnlyWindowsHoldBars) {
    EXPECT_TRUE(map_.can_hold(0x1000, 0x10000));
    EXPECT_TRUE(map_.can_hold(0x10'0000'f000, 0x1000));
    EXPECT_FALSE(map_.can_hold(0x0, 0x1000));
    EXPECT_FALSE(map_.can_hold(0x10000, 0x2000));
    EXPECT_FALSE(map_.can_hold(0xffff'ffff'ffff'f000, 0x1000));
}

TEST_F(BarMapTest, AWindowAddsItsBase) {
    map_.place(first_, 0, {GuestAddress(0x2000), 0x1000});
    BarWindow window(map_, {GuestAddress(0x1000), 0x10000});
    Bytes data(2, 0);

    window.read(0x1010, data);
    EXPECT_EQ(data, (Bytes{0x10, 0x11}));
    window.write(0x1010, Bytes{1});
    EXPECT_EQ(first_.writes.size(), 1U);
    window.read(0x8000, data);
    EXPECT_EQ(data, Bytes(2, 0xff));
}

}  // namespace
}  // namespace alcove::pci

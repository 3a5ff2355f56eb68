// SPDX-License-Identifier: Apache-2.0
#include "bus/address_bus.hpp"

#include <gtest/gtest.h>

namespace alcove::bus {
namespace {

class Remembering : public BusDevice {
  public:
    void read(uint64_t offset, MutableByteView data) override { data[0] = static_cast<uint8_t>(offset); }
    void write(uint64_t offset, ByteView data) override {
        last_offset = offset;
        last_size = data.size();
    }
    uint64_t last_offset = 0;
    size_t last_size = 0;
};

TEST(AddressBus, AccessesReachTheirDeviceWithItsOffset) {
    Remembering low;
    Remembering high;
    AddressBus bus;
    bus.add(0x100, 0x10, low);
    bus.add(0x110, 0x10, high);
    uint8_t byte = 0;

    EXPECT_TRUE(bus.read(0x111, {&byte, 1}));
    EXPECT_TRUE(bus.write(0x10c, Bytes{1, 2, 3, 4}));

    EXPECT_EQ(byte, 1);
    EXPECT_EQ(low.last_offset, 0xcU);
    EXPECT_EQ(low.last_size, 4U);
}

TEST(AddressBus, WhatNoWindowHoldsWholeReadsAsOnes) {
    Remembering device;
    AddressBus bus;
    bus.add(0x100, 0x10, device);
    Bytes data(4, 0);

    EXPECT_FALSE(bus.read(0x10e, data));
    EXPECT_EQ(data, Bytes(4, 0xff));
    EXPECT_FALSE(bus.write(0xff, Bytes{1, 2}));
    EXPECT_FALSE(bus.write(~uint64_t{0}, Bytes{1, 2}));
    EXPECT_EQ(device.last_size, 0U);
}

TEST(AddressBusDeathTest, OverlappingWindowsAreABugOfOurs) {
    Remembering device;
    AddressBus bus;
    bus.add(0x100, 0x10, device);

    EXPECT_DEATH(bus.add(0x10f, 1, device), "overlap");
    EXPECT_DEATH(bus.add(0xf8, 0x10, device), "overlap");
}

}  // namespace
}  // namespace alcove::bus

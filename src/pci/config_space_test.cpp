// SPDX-License-Identifier: Apache-2.0
#include "pci/config_space.hpp"

#include <gtest/gtest.h>

#include "support/endian.hpp"

namespace alcove::pci {
namespace {

class ConfigSpaceTest : public testing::Test {
  protected:
    uint64_t read(uint64_t offset, size_t width) {
        std::array<uint8_t, 8> bytes{};
        space_.read(offset, MutableByteView(bytes).first(width));
        return std::bit_cast<Le64>(bytes);
    }
    void write(uint64_t offset, uint64_t value, size_t width) {
        const auto bytes = std::bit_cast<std::array<uint8_t, 8>>(Le64(value));
        space_.write(offset, ByteView(bytes).first(width));
    }

    ConfigSpace space_{{.vendor_id = 0x1d0f,
                        .device_id = 0xe4c1,
                        .class_code = 0x078000,
                        .revision_id = 1,
                        .subsystem_vendor_id = 0x1d0f,
                        .subsystem_id = 0x0002}};
};

TEST_F(ConfigSpaceTest, TheHeaderSaysWhatTheFunctionIs) {
    EXPECT_EQ(read(0x00, 4), 0xe4c11d0fU);
    EXPECT_EQ(read(0x08, 4), 0x07800001U);
    EXPECT_EQ(read(0x0e, 1), 0U) << "type 0, one function";
    EXPECT_EQ(read(0x2c, 4), 0x00021d0fU);
    EXPECT_EQ(read(0x3d, 1), 0U) << "no interrupt pin";
    EXPECT_EQ(read(0x06, 2), 0U) << "no capabilities yet";
}

TEST_F(ConfigSpaceTest, OnlyWritableBitsChange) {
    write(0x00, 0xffffffff, 4);
    write(0x04, 0xffffffff, 4);
    write(0x3c, 0xffff, 2);

    EXPECT_EQ(read(0x00, 4), 0xe4c11d0fU);
    EXPECT_EQ(read(0x04, 4), 0x00000407U);
    EXPECT_EQ(read(0x3c, 2), 0x00ffU);
}

TEST_F(ConfigSpaceTest, BarsAreSizedByWritingOnes) {
    space_.add_bar(0, BarKind::Memory64Prefetchable, uint64_t{8} << 30);
    space_.add_bar(3, BarKind::Memory32, 0x1000);
    write(0x10, ~uint64_t{0}, 8);
    write(0x1c, 0xffffffff, 4);

    EXPECT_EQ(read(0x10, 4), 0x0000000cU);
    EXPECT_EQ(read(0x14, 4), 0xfffffffeU);
    EXPECT_EQ(read(0x1c, 4), 0xfffff000U);
    write(0x18, 0xffffffff, 4);
    EXPECT_EQ(read(0x18, 4), 0U) << "there is no BAR 2";
}

TEST_F(ConfigSpaceTest, BarsKeepWhatTheGuestWritesAndResetBringsThemBack) {
    space_.add_bar(1, BarKind::Memory64, 0x4000);
    space_.place_bar(1, 0x70'0000'4000);
    EXPECT_EQ(read(0x14, 8), 0x70'0000'4004U);

    write(0x14, 0xc0ff'f000, 4);
    write(0x18, 0, 4);
    EXPECT_EQ(space_.bar_address(1), 0xc0ff'c000U);

    space_.reset();
    EXPECT_EQ(space_.bar_address(1), 0x70'0000'4000U);
}

TEST_F(ConfigSpaceTest, CapabilitiesAreLinked) {
    const uint8_t first = space_.add_capability(0x09, Bytes{5, 1, 2});
    const uint8_t second = space_.add_capability(0x11, Bytes{3, 0}, Bytes{0, 0xc0});

    EXPECT_EQ(read(0x06, 2), 0x10U);
    EXPECT_EQ(read(0x34, 1), first);
    EXPECT_EQ(read(first, 4), 0x01050009U | uint32_t{second} << 8);
    EXPECT_EQ(second % 4, 0);
    EXPECT_EQ(read(second, 4), 0x00030011U);
    write(second + 2U, 0xffff, 2);
    EXPECT_EQ(read(second, 4), 0xc0030011U);
}

TEST_F(ConfigSpaceTest, ExtendedSpaceReadsAsOnes) {
    EXPECT_EQ(read(0x100, 4), 0xffffffffU);
    EXPECT_EQ(read(0xfe, 4), 0xffffffffU) << "half outside";
    write(0xfe, 0, 4);
    write(0xffc, 0, 4);
    EXPECT_EQ(read(0xfc, 4), 0U);
}

TEST(ConfigSpaceDeathTest, ABarInTheUpperHalfOfAnotherIsABugOfOurs) {
    ConfigSpace space{Identity{}};
    space.add_bar(2, BarKind::Memory64, 0x1000);

    EXPECT_DEATH(space.add_bar(3, BarKind::Memory32, 0x1000), "own register");
    EXPECT_DEATH(space.add_bar(1, BarKind::Memory64, 0x1000), "two registers");
    EXPECT_DEATH(space.add_bar(5, BarKind::Memory64, 0x1000), "two registers");
    EXPECT_DEATH(space.add_bar(0, BarKind::Memory32, 0x1800), "power of two");
}

}  // namespace
}  // namespace alcove::pci

// SPDX-License-Identifier: Apache-2.0
#include "host/sgx.hpp"

#include <gtest/gtest.h>

#include "host/fake_root_test.hpp"

namespace alcove::host {
namespace {

// A processor with two sections, as SDM vol. 3D lays them out in CPUID.
CpuidAnswer two_sections(uint32_t leaf, uint32_t subleaf) {
    if (leaf == 7) return {.ebx = 1U << 2, .ecx = 1U << 30};
    if (leaf != 0x12) return {};
    if (subleaf == 0) return {.eax = 3};
    if (subleaf == 2) return {.eax = 0x7020'0001, .ebx = 0, .ecx = 0x05d8'0001};
    if (subleaf == 3) return {.eax = 0x1, .ebx = 0x40, .ecx = 0x1, .edx = 1};
    return {};
}

TEST(HostSgx, SectionsAndNodesAreRead) {
    const FakeRoot root;
    root.put("/sys/devices/system/node/node1/x86/sgx_total_bytes", "98041856\n");
    root.put("/dev/sgx_enclave", "");
    root.put("/dev/sgx_vepc", "");

    const auto sgx = read_sgx({NumaNode{0}, NumaNode{1}}, two_sections, root.path());

    EXPECT_TRUE(sgx.present && sgx.sgx1 && sgx.sgx2 && sgx.launch_control);
    EXPECT_TRUE(sgx.enclave_device && sgx.virtual_epc_device);
    ASSERT_EQ(sgx.sections.size(), 2U);
    EXPECT_EQ(sgx.sections[0].base, 0x7020'0000U);
    EXPECT_EQ(sgx.sections[0].size, 0x05d8'0000U);
    EXPECT_EQ(sgx.sections[1].base, 0x40'0000'0000U);
    EXPECT_EQ(sgx.sections[1].size, 0x1'0000'0000U);
    ASSERT_EQ(sgx.nodes.size(), 1U);
    EXPECT_EQ(sgx.nodes[0].node, NumaNode{1});
    EXPECT_EQ(sgx.nodes[0].total_bytes, 98'041'856U);
}

// Two sockets with 4 GiB each and a section at the end of each, in blocks of 2 GiB.
class HostSgxNodes : public testing::Test {
  protected:
    HostSgxNodes() {
        root_.put("/sys/devices/system/memory/block_size_bytes", "80000000\n");
        for (const char* block : {"node0/memory0", "node0/memory1", "node1/memory2", "node1/memory3"})
            root_.put(std::string("/sys/devices/system/node/") + block + "/state", "online\n");
        root_.put("/sys/devices/system/node/node0/hugepages", "");
    }
    static CpuidAnswer sections(uint32_t leaf, uint32_t subleaf) {
        if (leaf == 7) return {.ebx = 1U << 2};
        if (leaf != 0x12 || subleaf < 2 || subleaf > 3) return {};
        return subleaf == 2 ? CpuidAnswer{.eax = 0xfc00'0001, .ecx = 0x0400'0001}
                            : CpuidAnswer{.eax = 0xf800'0001, .ebx = 1, .ecx = 0x0800'0001};
    }
    std::vector<SgxHardware::Section> read(const char* node0, const char* node1) {
        root_.put("/sys/devices/system/node/node0/x86/sgx_total_bytes", node0);
        root_.put("/sys/devices/system/node/node1/x86/sgx_total_bytes", node1);
        return read_sgx({NumaNode{0}, NumaNode{1}}, sections, root_.path()).sections;
    }
    const FakeRoot root_;
};

TEST_F(HostSgxNodes, ASectionIsAtTheNodeWhoseMemoryItEnds) {
    const auto sections = read("67108864\n", "134217728\n");

    ASSERT_EQ(sections.size(), 2U);
    EXPECT_EQ(sections[0].node, NumaNode{0});
    EXPECT_EQ(sections[1].node, NumaNode{1});
}

TEST_F(HostSgxNodes, WhatDoesNotAddUpIsNotSaid) {
    EXPECT_EQ(read("134217728\n", "67108864\n")[0].node, std::nullopt);
}

TEST_F(HostSgxNodes, WhereOneNodeHasAllItIsThatOne) {
    EXPECT_EQ(read("201326592\n", "0\n")[1].node, NumaNode{0});
}

TEST(HostSgx, AProcessorWithoutItHasNothing) {
    const FakeRoot root;

    const auto sgx = read_sgx(
        {NumaNode{0}}, [](uint32_t, uint32_t) { return CpuidAnswer{}; }, root.path());

    EXPECT_FALSE(sgx.present);
    EXPECT_TRUE(sgx.sections.empty());
}

TEST(HostSgx, AListWithoutAnEndEnds) {
    const FakeRoot root;
    const auto endless = [](uint32_t leaf, uint32_t) {
        return leaf == 7 ? CpuidAnswer{.ebx = 4} : CpuidAnswer{.eax = 1};
    };

    EXPECT_EQ(read_sgx({}, endless, root.path()).sections.size(), 64U);
}

}  // namespace
}  // namespace alcove::host

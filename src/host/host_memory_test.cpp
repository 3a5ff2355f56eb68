// SPDX-License-Identifier: Apache-2.0
#include "host/host_memory.hpp"

#include <gtest/gtest.h>

#include "host/fake_root_test.hpp"

namespace alcove::host {
namespace {

constexpr std::string_view kMeminfo =
    "MemTotal:        8000000 kB\n"
    "MemFree:         3000000 kB\n"
    "MemAvailable:    5000000 kB\n"
    "SwapTotal:        100000 kB\n"
    "HugePages_Total:      12\n";

TEST(HostMemory, NodesAndTheirHugePagesAreRead) {
    const FakeRoot root;
    root.put("/proc/meminfo", kMeminfo);
    root.put("/sys/devices/system/node/node0/meminfo",
             "Node 0 MemTotal: 4000000 kB\nNode 0 MemFree: 1000000 kB\n");
    root.put("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "64\n");
    root.put("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "60\n");
    root.put("/sys/devices/system/node/node10/meminfo",
             "Node 10 MemTotal: 4000000 kB\nNode 10 MemFree: 2000000 kB\n");

    const auto memory = read_host_memory(root.path()).value();

    EXPECT_EQ(memory.available_bytes, 5000000ULL * 1024);
    ASSERT_EQ(memory.nodes.size(), 2U);
    EXPECT_EQ(memory.nodes[0].huge_2m.total_pages, 64U);
    EXPECT_EQ(memory.nodes[0].huge_2m.free_pages, 60U);
    EXPECT_EQ(memory.nodes[1].node, NumaNode{10});
    EXPECT_EQ(memory.nodes[1].free_bytes, 2000000ULL * 1024);
    EXPECT_EQ(memory.nodes[1].huge_2m.free_pages, 0U);
}

TEST(HostMemory, AKernelWithoutNumaIsOneNode) {
    const FakeRoot root;
    root.put("/proc/meminfo", kMeminfo);
    root.put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "7\n");

    const auto memory = read_host_memory(root.path()).value();

    ASSERT_EQ(memory.nodes.size(), 1U);
    EXPECT_EQ(memory.nodes[0].huge_2m.free_pages, 7U);
    EXPECT_EQ(memory.nodes[0].free_bytes, 3000000ULL * 1024);
}

TEST(HostMemory, TheKernelsChoiceForMemoryFilesIsRead) {
    FakeRoot root;
    root.put("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 500 kB\n");
    EXPECT_EQ(read_host_memory(root.path())->transparent_2m, "");

    root.put("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
             "always [within_size] advise never deny force\n");
    EXPECT_EQ(read_host_memory(root.path())->transparent_2m, "within_size");
}

TEST(HostMemory, AMeminfoWithoutMemAvailableIsRefused) {
    const FakeRoot root;
    root.put("/proc/meminfo", "MemTotal: 10 kB\n");

    EXPECT_EQ(read_host_memory(root.path()).error().code(), ErrorCode::Unsupported);
}

}  // namespace
}  // namespace alcove::host

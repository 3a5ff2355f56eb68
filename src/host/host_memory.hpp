// SPDX-License-Identifier: Apache-2.0
//
// How much memory the host has, is free, and lies in pools of 2 MiB pages, per NUMA node. Sources:
// /proc/meminfo, /sys/devices/system/node/node<n>/{meminfo,hugepages} (kernel documentation,
// admin-guide/mm/hugetlbpage). The kernel gives MemAvailable for the whole host only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/units.hpp"
#include "support/result.hpp"

namespace alcove::host {

struct HugePages {
    uint64_t total_pages = 0;
    uint64_t free_pages = 0;
};

struct NodeMemory {
    NumaNode node;
    uint64_t total_bytes = 0;
    uint64_t free_bytes = 0;
    HugePages huge_2m{};
};

struct HostMemory {
    uint64_t total_bytes = 0;
    uint64_t available_bytes = 0;  // MemAvailable: what can be had without swapping
    uint64_t swap_total_bytes = 0;
    std::vector<NodeMemory> nodes;  // ascending; at least one
    // How the kernel backs memory files (the RAM of VMs) with 2 MiB pages: "never", "within_size" ... Empty:
    // it cannot. Kernel documentation, admin-guide/mm/transhuge.
    std::string transparent_2m{};
};

// `root` stands in front of every path: "" on a host, a directory in tests.
Result<HostMemory> read_host_memory(const std::string& root = "");

}  // namespace alcove::host

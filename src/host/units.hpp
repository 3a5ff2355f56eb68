// SPDX-License-Identifier: Apache-2.0
//
// Names for the host's parts: distinct types, so that a core's number cannot stand where a CPU's is meant.
#pragma once

#include <compare>
#include <cstdint>
#include <string_view>

namespace alcove::host {

// A logical CPU (one thread of a core) by the kernel's number.
struct CpuId {
    uint32_t value = 0;
    auto operator<=>(const CpuId&) const = default;
};

// A whole core, named by the lowest of its CPUs' numbers: stable over reboots of the same machine, and
// readable in messages.
struct CoreId {
    uint32_t value = 0;
    auto operator<=>(const CoreId&) const = default;
};

// A NUMA node by the kernel's number. A machine without NUMA is one node, 0.
struct NumaNode {
    uint32_t value = 0;
    auto operator<=>(const NumaNode&) const = default;
};

enum class PageSize : uint8_t {
    Size4K,
    Size2M,
};

// How an owner's vCPUs get host CPUs. Dedicated: whole cores that no other owner runs on. Shared: the
// host's own cores under core scheduling, so that two owners never run on siblings at the same time.
enum class CpuPolicy : uint8_t {
    Dedicated,
    Shared,
};

constexpr uint64_t page_bytes(PageSize pages) {
    return pages == PageSize::Size2M ? uint64_t{2} << 20 : 4096;
}

// The spelling of the API, the command line and the database.
constexpr std::string_view to_string(PageSize pages) {
    return pages == PageSize::Size2M ? "2m" : "4k";
}
constexpr std::string_view to_string(CpuPolicy policy) {
    return policy == CpuPolicy::Dedicated ? "dedicated" : "shared";
}

}  // namespace alcove::host

// SPDX-License-Identifier: Apache-2.0
//
// The host's packages, cores, SMT siblings and NUMA nodes as plain data, read once with hwloc. All CPUs that
// are online are there, also those that this process may not use: a core that is lent to a VM is taken from
// everybody else's cpuset, and must not look as if it had gone.
#pragma once

#include <string>
#include <vector>

#include "host/units.hpp"
#include "support/result.hpp"

namespace alcove::host {

struct Core {
    CoreId id;
    NumaNode node;
    uint32_t package = 0;
    std::vector<CpuId> cpus{};     // its threads, ascending; never empty
    std::vector<CpuId> foreign{};  // of them, those that this process may not use

    bool is_ours() const { return foreign.empty(); }
    bool operator==(const Core&) const = default;
};

struct Topology {
    std::vector<Core> cores;  // ascending by id
    std::vector<NumaNode> nodes;
    uint32_t packages = 0;

    size_t cpu_count() const;
    bool has_smt() const;  // some core has more than one thread
};

// Source: hwloc, from /sys/devices/system/{cpu,node}. ErrorCode::Unsupported when hwloc cannot read it.
Result<Topology> read_topology();

// The topology hwloc makes of a description such as "node:2 core:4 pu:2": for tests and what-if questions.
Result<Topology> describe_topology(const std::string& synthetic);

}  // namespace alcove::host

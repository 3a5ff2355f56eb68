// SPDX-License-Identifier: Apache-2.0
//
// The host's packages, cores, SMT siblings and NUMA nodes as plain data, read once with hwloc. CPUs that are
// offline or that this process may not use (cpuset) are left out; a core of which only some threads may be
// used keeps those threads and is marked, because it can never be lent whole.
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
    std::vector<CpuId> cpus; // its threads, ascending; never empty
    bool whole = true;       // false: a sibling exists that this process may not use
};

struct Topology {
    std::vector<Core> cores; // ascending by id
    std::vector<NumaNode> nodes;
    uint32_t packages = 0;

    size_t cpu_count() const;
    bool has_smt() const; // some core has more than one thread
};

// Source: hwloc, from /sys/devices/system/{cpu,node}. ErrorCode::Unsupported when hwloc cannot read it.
Result<Topology> read_topology();

// The topology hwloc makes of a description such as "node:2 core:4 pu:2": for tests and what-if questions.
Result<Topology> describe_topology(const std::string& synthetic);

} // namespace alcove::host

// SPDX-License-Identifier: Apache-2.0
#include "host/topology.hpp"

#include <algorithm>
#include <memory>

#include <hwloc.h>

namespace alcove::host {

namespace {

struct DestroyTopology {
    void operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }
};
using TopologyHandle = std::unique_ptr<hwloc_topology, DestroyTopology>;

NumaNode node_of(hwloc_topology_t topology, hwloc_obj_t object) {
    hwloc_obj_t node = nullptr;
    while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr) {
        if (hwloc_bitmap_isincluded(object->cpuset, node->cpuset) != 0) return NumaNode{node->os_index};
    }
    return NumaNode{0};  // memoryless layouts: count it as the first node's
}

Core describe_core(hwloc_topology_t topology, hwloc_obj_t object) {
    const auto allowed = hwloc_topology_get_allowed_cpuset(topology);
    Core core;
    core.node = node_of(topology, object);
    const hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, object);
    core.package = package != nullptr ? package->logical_index : 0;
    for (int cpu = hwloc_bitmap_first(object->cpuset); cpu >= 0;
         cpu = hwloc_bitmap_next(object->cpuset, cpu)) {
        const CpuId id{static_cast<uint32_t>(cpu)};
        core.cpus.push_back(id);
        if (hwloc_bitmap_isset(allowed, id.value) == 0) core.foreign.push_back(id);
    }
    if (!core.cpus.empty()) core.id = CoreId{core.cpus.front().value};
    return core;
}

Result<Topology> load(hwloc_topology_t topology) {
    if (hwloc_topology_load(topology) != 0)
        return fail(ErrorCode::Unsupported, "hwloc cannot read this host");
    Topology result;
    // Some virtual machines tell nothing of cores: then each CPU counts as a core of its own.
    const bool has_cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;
    const hwloc_obj_type_t type = has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    hwloc_obj_t object = nullptr;
    while ((object = hwloc_get_next_obj_by_type(topology, type, object)) != nullptr) {
        auto core = describe_core(topology, object);
        if (!core.cpus.empty()) result.cores.push_back(std::move(core));
    }
    std::ranges::sort(result.cores, {}, &Core::id);
    object = nullptr;
    while ((object = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, object)) != nullptr) {
        result.nodes.push_back(NumaNode{object->os_index});
    }
    if (result.nodes.empty()) result.nodes.push_back(NumaNode{0});
    std::ranges::sort(result.nodes);
    const int packages = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE);
    result.packages = packages > 0 ? static_cast<uint32_t>(packages) : 1;
    if (result.cores.empty()) return fail(ErrorCode::Unsupported, "hwloc finds no CPU on this host");
    return result;
}

Result<TopologyHandle> new_handle() {
    hwloc_topology_t raw = nullptr;
    if (hwloc_topology_init(&raw) != 0) return fail(ErrorCode::Unsupported, "hwloc cannot start");
    return TopologyHandle(raw);
}

}  // namespace

size_t Topology::cpu_count() const {
    size_t count = 0;
    for (const auto& core : cores)
        count += core.cpus.size();
    return count;
}

bool Topology::has_smt() const {
    return std::ranges::any_of(cores, [](const Core& core) { return core.cpus.size() > 1; });
}

Result<Topology> read_topology() {
    auto handle = TRY(new_handle());
    // CPUs outside our cpuset must be seen: those of VMs, and siblings that are somebody else's.
    hwloc_topology_set_flags(handle.get(), HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    return load(handle.get());
}

Result<Topology> describe_topology(const std::string& synthetic) {
    auto handle = TRY(new_handle());
    if (hwloc_topology_set_synthetic(handle.get(), synthetic.c_str()) != 0)
        return fail(ErrorCode::InvalidArgument, "'" + synthetic + "' is no topology that hwloc understands");
    return load(handle.get());
}

}  // namespace alcove::host

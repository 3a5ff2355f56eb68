// SPDX-License-Identifier: Apache-2.0
#include "daemon/primary_shape.hpp"

#include <algorithm>
#include <set>

namespace alcove::daemon {

PrimaryShape shape_of(uint32_t vcpus, const std::vector<host::Core>& cores) {
    PrimaryShape shape;
    if (cores.empty()) {
        for (uint32_t vcpu = 0; vcpu < vcpus; ++vcpu)
            shape.core_of_vcpu.push_back(vcpu);
        return shape;
    }
    for (const auto& core : cores)
        for (size_t thread = 0; thread < core.cpus.size() && shape.core_of_vcpu.size() < vcpus; ++thread)
            shape.core_of_vcpu.push_back(core.id.value);
    const bool in_pairs =
        std::ranges::all_of(cores, [](const host::Core& core) { return core.cpus.size() == 2; });
    if (in_pairs && vcpus > 1) shape.threads_per_core = 2;
    return shape;
}

std::vector<host::CoreId> cores_behind(const PrimaryShape& shape, const std::vector<ne::VcpuId>& vcpus) {
    std::set<host::CoreId> cores;
    for (const auto id : vcpus)
        if (ne::number(id) < shape.core_of_vcpu.size())
            cores.insert(host::CoreId{shape.core_of_vcpu[ne::number(id)]});
    return {cores.begin(), cores.end()};
}

}  // namespace alcove::daemon

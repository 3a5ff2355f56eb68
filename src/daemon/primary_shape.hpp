// SPDX-License-Identifier: Apache-2.0
//
// How a primary VM's vCPUs lie on the host cores that were lent to it, itself and its enclaves together: vCPU
// n on the n-th thread, core after core. The guest is shown siblings exactly where every core behind it has
// two threads; of an odd number of vCPUs the last has a core without a sibling. A core is what it can carve,
// whole (nitro.md 1.10).
#pragma once

#include <cstdint>
#include <vector>

#include "host/topology.hpp"
#include "host/units.hpp"
#include "ne/ids.hpp"

namespace alcove::daemon {

struct PrimaryShape {
    uint32_t threads_per_core = 1;         // as the guest sees them: 1 or 2
    std::vector<uint32_t> core_of_vcpu{};  // numbers that the vCPUs of one host core share
    bool operator==(const PrimaryShape&) const = default;
};

// `cores` are dedicated to the VM, ascending, and have at least `vcpus` threads; none of a shared one, whose
// vCPUs are cores to it that are nobody's.
PrimaryShape shape_of(uint32_t vcpus, const std::vector<host::Core>& cores);

// The cores behind vCPUs of a dedicated VM, ascending, each once.
std::vector<host::CoreId> cores_behind(const PrimaryShape& shape, const std::vector<ne::VcpuId>& vcpus);

}  // namespace alcove::daemon

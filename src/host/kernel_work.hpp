// SPDX-License-Identifier: Apache-2.0
//
// What keeps CPUs that are lent to a VM from being its alone. A cpuset partition keeps other programs off
// them; the kernel's own work there (its tick, threads and work items bound to no CPU, interrupts) stays as
// far as it was not turned away on its command line: isolcpus=, nohz_full= (kernel documentation,
// admin-guide/kernel-parameters and cgroup-v2).
#pragma once

#include <string>

#include "host/capabilities.hpp"

namespace alcove::host {

// Lists of CPUs as the kernel writes them: "2-5,7"; empty for none.
struct KernelWork {
    // Whether a group deep in the tree can have CPUs for itself: cpuset.cpus.exclusive. NotTried where no
    // group has a cpuset to look at.
    Answer exclusive_cpusets = Answer::NotTried;
    std::string tickless;       // nohz_full
    std::string isolated;       // isolcpus, and partitions that are isolated now
    std::string managed_irqs;   // isolcpus=managed_irq: on the others only
    std::string interrupts_on;  // where interrupts may be delivered now

    bool operator==(const KernelWork&) const = default;
};

// `root` as in read_host_memory(). What can not be read is empty.
KernelWork read_kernel_work(const std::string& root = "");

}  // namespace alcove::host

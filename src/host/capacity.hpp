// SPDX-License-Identifier: Apache-2.0
//
// From what the host has to what Alcove may lend: the operator's rules applied to topology and memory. The
// host keeps core 0's siblings and a share of its memory for itself. Of each node's huge pages one is lent to
// nobody: carving moves memory through it (memory/region_mover.hpp).
#pragma once

#include <vector>

#include "host/capabilities.hpp"
#include "host/host_memory.hpp"
#include "host/ledger.hpp"
#include "host/sgx.hpp"
#include "host/topology.hpp"

namespace alcove::host {

struct LendingRules {
    uint32_t reserved_cores = 1;         // the lowest ones, CPU 0's always among them
    uint32_t memory_share_percent = 75;  // of MemAvailable, for 4 KiB pages; 1 to 95
};

// What is lent already, by node. The bytes are missing from MemAvailable and from the free huge pages, the
// cores from this process's cpuset; they count as lendable all the same.
struct AlreadyLent {
    NumaNode node;
    std::vector<CoreId> cores{};
    uint64_t small_bytes = 0;
    uint64_t huge_bytes = 0;
};

// A core of which this process may not use every CPU, and which is not lent, belongs to somebody else: it is
// not lent, and the host's reserve has only the CPUs of it that are ours.
Result<Capacity> lending_capacity(const Topology& topology, const HostMemory& memory, Answer core_scheduling,
                                  const LendingRules& rules, const std::vector<AlreadyLent>& lent = {});

// EPC that KVM can give to VMs: all that the kernel counts, where there is /dev/sgx_vepc. What enclaves of
// the host's own programs have of it the kernel pages out when a VM wants it.
void add_hardware_epc(Capacity& capacity, const SgxHardware& sgx);

// Whether the host still has now what the ledger would lend: other programs take memory too. The huge page
// that is kept back is not asked for; carving without it is refused until it is there again.
// ErrorCode::NoHugePages or NoFreeMemory.
Result<void> check_memory_now(const HostMemory& memory, uint64_t bytes, PageSize pages);

}  // namespace alcove::host

// SPDX-License-Identifier: Apache-2.0
#include "host/capacity.hpp"

#include <algorithm>

#include "support/bits.hpp"

namespace alcove::host {

namespace {

constexpr uint64_t kKeptHugePages = 1;  // of a node: a chunk of memory::MoveSizes

// `whole` * part / total without overflow: shares of memory need no more than 1 in 2^10 precision.
uint64_t proportion(uint64_t whole, uint64_t part, uint64_t total) {
    if (total == 0) return 0;
    return static_cast<uint64_t>(static_cast<unsigned __int128>(whole) * part / total);
}

bool is_lent(CoreId core, const std::vector<AlreadyLent>& lent) {
    return std::ranges::any_of(lent, [core](const AlreadyLent& node) {
        return std::ranges::find(node.cores, core) != node.cores.end();
    });
}

Core our_part(Core core) {
    std::erase_if(core.cpus,
                  [&](CpuId cpu) { return std::ranges::find(core.foreign, cpu) != core.foreign.end(); });
    core.foreign.clear();
    return core;
}

}  // namespace

Result<Capacity> lending_capacity(const Topology& topology, const HostMemory& memory, Answer core_scheduling,
                                  const LendingRules& rules, const std::vector<AlreadyLent>& lent) {
    if (rules.reserved_cores == 0)
        return fail(ErrorCode::InvalidArgument,
                    "at least one core stays with the host: core 0 is never lent");
    if (rules.memory_share_percent == 0 || rules.memory_share_percent > 95)
        return fail(ErrorCode::InvalidArgument, "the share of memory to lend is 1 to 95 percent");

    Capacity capacity;
    capacity.shared_policy_safe = !topology.has_smt() || core_scheduling == Answer::Yes;
    for (const auto& node : topology.nodes)
        capacity.nodes.push_back({.node = node, .lendable = {}});
    for (const auto& core : topology.cores) {
        const auto node = std::ranges::find(capacity.nodes, core.node, &NodeCapacity::node);
        // topology.cores ascends, so the first ones are the lowest, CPU 0's among them.
        const bool reserved = capacity.reserve.size() < rules.reserved_cores;
        if (!reserved && node != capacity.nodes.end() && (core.is_ours() || is_lent(core.id, lent))) {
            node->lendable.push_back(core);
        } else if (const auto ours = our_part(core); !ours.cpus.empty()) {
            capacity.reserve.push_back(ours);
        }
    }

    uint64_t free_total = 0;
    for (const auto& node : memory.nodes)
        free_total += node.free_bytes;
    const uint64_t share = proportion(memory.available_bytes, rules.memory_share_percent, 100);
    for (auto& node : capacity.nodes) {
        const auto found = std::ranges::find(memory.nodes, node.node, &NodeMemory::node);
        if (found != memory.nodes.end()) {
            node.small_bytes = proportion(share, found->free_bytes, free_total);
            const uint64_t free = found->huge_2m.free_pages;
            node.huge_bytes = (free - std::min(free, kKeptHugePages)) * 2_MiB;
        }
        const auto held = std::ranges::find(lent, node.node, &AlreadyLent::node);
        if (held != lent.end()) {
            node.small_bytes += held->small_bytes;
            node.huge_bytes += held->huge_bytes;
        }
        node.small_bytes = align_down<uint64_t>(node.small_bytes, 2_MiB);
    }
    return capacity;
}

void add_hardware_epc(Capacity& capacity, const SgxHardware& sgx) {
    if (!sgx.virtual_epc_device) return;
    for (const auto& has : sgx.nodes) {
        const auto node = std::ranges::find(capacity.nodes, has.node, &NodeCapacity::node);
        if (node != capacity.nodes.end()) node->hardware_epc_bytes = has.total_bytes;
    }
}

Result<void> check_memory_now(const HostMemory& memory, uint64_t bytes, PageSize pages) {
    if (pages == PageSize::Size2M) {
        uint64_t free = 0;
        for (const auto& node : memory.nodes)
            free += node.huge_2m.free_pages * 2_MiB;
        if (free >= bytes) return {};
        return fail(ErrorCode::NoHugePages, std::to_string(bytes / 1_MiB) +
                                                " MiB in 2 MiB pages asked for; " +
                                                std::to_string(free / 1_MiB) + " MiB are free now");
    }
    if (memory.available_bytes >= bytes) return {};
    return fail(ErrorCode::NoFreeMemory, std::to_string(bytes / 1_MiB) + " MiB asked for; " +
                                             std::to_string(memory.available_bytes / 1_MiB) +
                                             " MiB are available now");
}

}  // namespace alcove::host

// SPDX-License-Identifier: Apache-2.0
#include "host/ledger.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "support/bits.hpp"
#include "support/check.hpp"
#include "support/guarded.hpp"

namespace alcove::host {

namespace {

// Grants only; what is free is always computed from the capacity less the grants, so that
// the two cannot drift apart.
struct Entries {
    Capacity capacity;
    std::map<std::string, Grant> grants;

    struct Free {
        NumaNode node;
        std::vector<const Core*> cores;
        uint64_t bytes = 0;  // of the page size asked for

        uint32_t threads() const {
            uint32_t count = 0;
            for (const auto* core : cores)
                count += static_cast<uint32_t>(core->cpus.size());
            return count;
        }
    };

    const Core* find_core(CoreId id) const {
        const auto search = [&](const std::vector<Core>& cores) -> const Core* {
            const auto found = std::ranges::find(cores, id, &Core::id);
            return found != cores.end() ? &*found : nullptr;
        };
        if (const auto* core = search(capacity.reserve)) return core;
        for (const auto& node : capacity.nodes) {
            if (const auto* core = search(node.lendable)) return core;
        }
        return nullptr;
    }

    const std::string* holder_of(CoreId id) const {
        for (const auto& [owner, grant] : grants) {
            for (const auto& node : grant.nodes) {
                if (std::ranges::find(node.cores, id) != node.cores.end()) return &owner;
            }
        }
        return nullptr;
    }

    uint64_t lent_bytes(NumaNode node, PageSize pages) const {
        uint64_t bytes = 0;
        for (const auto& [owner, grant] : grants) {
            for (const auto& part : grant.nodes) {
                if (part.node != node) continue;
                if (grant.pages == pages) bytes += part.memory_bytes;
                if (pages == PageSize::Size4K) bytes += part.epc_bytes;
            }
        }
        return bytes;
    }

    static uint64_t total_bytes(const NodeCapacity& node, PageSize pages) {
        return pages == PageSize::Size2M ? node.huge_bytes : node.small_bytes;
    }

    uint64_t free_bytes(const NodeCapacity& node, PageSize pages) const {
        const uint64_t lent = lent_bytes(node.node, pages);
        const uint64_t total = total_bytes(node, pages);
        return lent < total ? total - lent : 0;
    }

    uint64_t free_hardware_epc(const NodeCapacity& node) const {
        uint64_t lent = 0;
        for (const auto& [owner, grant] : grants) {
            for (const auto& part : grant.nodes)
                if (part.node == node.node) lent += part.hardware_epc_bytes;
        }
        return lent < node.hardware_epc_bytes ? node.hardware_epc_bytes - lent : 0;
    }

    std::vector<Free> free_hardware_epc_by_node() const {
        std::vector<Free> result;
        for (const auto& node : capacity.nodes)
            result.push_back({.node = node.node, .cores = {}, .bytes = free_hardware_epc(node)});
        return result;
    }

    std::vector<Free> free_by_node(PageSize pages) const {
        std::vector<Free> result;
        for (const auto& node : capacity.nodes) {
            Free free{.node = node.node, .cores = {}, .bytes = free_bytes(node, pages)};
            for (const auto& core : node.lendable) {
                if (holder_of(core.id) == nullptr) free.cores.push_back(&core);
            }
            result.push_back(std::move(free));
        }
        return result;
    }

    std::vector<CpuId> cpus_of(const Grant& grant) const {
        std::vector<CpuId> cpus;
        const auto add = [&](const Core& core) {
            cpus.insert(cpus.end(), core.cpus.begin(), core.cpus.end());
        };
        if (grant.policy == CpuPolicy::Shared) {
            for (const auto& core : capacity.reserve)
                add(core);
        } else {
            for (const auto& node : grant.nodes) {
                for (const auto id : node.cores)
                    add(*find_core(id));
            }
        }
        std::ranges::sort(cpus);
        return cpus;
    }
};

// The node's part of a grant, made if it is not there.
NodeGrant& part_of(Grant& grant, NumaNode node) {
    auto place = std::ranges::lower_bound(grant.nodes, node, {}, &NodeGrant::node);
    if (place == grant.nodes.end() || place->node != node) place = grant.nodes.insert(place, {.node = node});
    return *place;
}

bool move_cores(Grant& from, Grant& to, const std::vector<CoreId>& cores) {
    for (const auto core : cores) {
        const auto holds = [core](const NodeGrant& part) {
            return std::ranges::find(part.cores, core) != part.cores.end();
        };
        const auto part = std::ranges::find_if(from.nodes, holds);
        if (part == from.nodes.end()) return false;
        std::erase(part->cores, core);
        auto& taken = part_of(to, part->node).cores;
        taken.insert(std::ranges::lower_bound(taken, core), core);
    }
    return true;
}

bool move_memory(Grant& from, Grant& to, uint64_t bytes) {
    for (auto& part : from.nodes) {
        const uint64_t moved = std::min(bytes, part.memory_bytes);
        if (moved == 0) continue;
        part.memory_bytes -= moved;
        part_of(to, part.node).memory_bytes += moved;
        bytes -= moved;
    }
    return bytes == 0;
}

std::string mib(uint64_t bytes) {
    return std::to_string(bytes / 1_MiB) + " MiB";
}

// Takes whole cores, lowest first, until they have `vcpus` threads; less when there are not enough.
std::vector<CoreId> take_cores(const std::vector<const Core*>& free, uint32_t& vcpus) {
    std::vector<CoreId> taken;
    for (const auto* core : free) {
        if (vcpus == 0) break;
        taken.push_back(core->id);
        vcpus -= std::min(vcpus, static_cast<uint32_t>(core->cpus.size()));
    }
    return taken;
}

bool is_empty(const NodeGrant& part) {
    return part.cores.empty() && part.memory_bytes == 0 && part.epc_bytes == 0 &&
           part.hardware_epc_bytes == 0;
}

// The two kinds of EPC, and the pieces they are lent in.
struct EpcKind {
    uint64_t NodeGrant::*bytes;
    uint64_t piece;
};
constexpr EpcKind kSoftwareEpc{.bytes = &NodeGrant::epc_bytes, .piece = 2_MiB};
constexpr EpcKind kHardwareEpc{.bytes = &NodeGrant::hardware_epc_bytes, .piece = 1_MiB};

// Adds EPC to a grant, on its own nodes first; `free` is what there is of it beside the grant. What found no
// place is left.
template <typename Free>
uint64_t add_epc(Grant& grant, EpcKind kind, uint64_t bytes, const std::vector<Free>& free,
                 Placement placement) {
    const auto own = grant.nodes;
    const auto is_own = [&](NumaNode node) {
        return std::ranges::find(own, node, &NodeGrant::node) != own.end();
    };
    for (const bool of_its_nodes : {true, false}) {
        for (const auto& node : free) {
            if (is_own(node.node) != of_its_nodes || (!of_its_nodes && placement == Placement::OneNode))
                continue;
            const uint64_t taken = std::min(bytes, align_down<uint64_t>(node.bytes, kind.piece));
            if (taken == 0) continue;
            part_of(grant, node.node).*kind.bytes += taken;
            bytes -= taken;
        }
    }
    return bytes;
}

// The last nodes give first.
void take_epc(Grant& grant, uint64_t bytes) {
    for (auto part = grant.nodes.rbegin(); part != grant.nodes.rend(); ++part) {
        const uint64_t taken = std::min(bytes, part->epc_bytes);
        part->epc_bytes -= taken;
        bytes -= taken;
    }
    std::erase_if(grant.nodes, is_empty);
}

Failure epc_shortage(uint64_t wanted, uint64_t missing) {
    return fail(ErrorCode::NoFreeMemory, mib(wanted) +
                                             " of EPC asked for, which is memory of this "
                                             "host; " +
                                             mib(wanted - missing) + " may still be lent");
}

Failure hardware_epc_shortage(uint64_t wanted, uint64_t missing) {
    return fail(ErrorCode::NoFreeEpc, mib(wanted) + " of EPC of this host's processors asked for; " +
                                          mib(wanted - missing) + " may still be lent");
}

template <typename Free>
Failure shortage(const Demand& demand, uint32_t wanted_threads, const std::vector<Free>& free) {
    uint32_t threads = 0;
    size_t cores = 0;
    uint64_t bytes = 0;
    for (const auto& node : free) {
        threads += node.threads();
        cores += node.cores.size();
        bytes += node.bytes;
    }
    const bool one_node = demand.placement == Placement::OneNode && free.size() > 1;
    const std::string where = one_node ? ", and no single NUMA node has enough" : "";
    if (threads < wanted_threads || (one_node && bytes >= demand.memory_bytes))
        return fail(ErrorCode::NoFreeCores, std::to_string(demand.vcpus) + " vCPUs need whole cores; " +
                                                std::to_string(cores) + " cores with " +
                                                std::to_string(threads) + " threads are free" + where);
    const bool huge = demand.pages == PageSize::Size2M;
    return fail(huge ? ErrorCode::NoHugePages : ErrorCode::NoFreeMemory,
                mib(demand.memory_bytes) + " asked for; " + mib(bytes) + (huge ? " in 2 MiB pages" : "") +
                    " may still be lent" + where);
}

template <typename Free>
std::vector<NodeGrant> spread(std::vector<Free> free, uint32_t vcpus, uint64_t bytes) {
    // The fewest nodes: the fullest first. A node that gave cores gives memory before the others do.
    std::ranges::stable_sort(free, [vcpus](const Free& a, const Free& b) {
        return vcpus > 0 ? a.threads() > b.threads() : a.bytes > b.bytes;
    });
    std::vector<NodeGrant> parts;
    parts.reserve(free.size());
    for (const auto& node : free)
        parts.push_back({.node = node.node, .cores = take_cores(node.cores, vcpus)});
    for (const bool with_cores : {true, false}) {
        for (size_t i = 0; i < free.size(); ++i) {
            if (parts[i].cores.empty() == with_cores) continue;
            parts[i].memory_bytes = std::min(bytes, align_down<uint64_t>(free[i].bytes, 2_MiB));
            bytes -= parts[i].memory_bytes;
        }
    }
    std::erase_if(parts, is_empty);
    std::ranges::sort(parts, {}, &NodeGrant::node);
    return vcpus == 0 && bytes == 0 ? parts : std::vector<NodeGrant>{};
}

template <typename Free>
std::vector<NodeGrant> choose(const std::vector<Free>& free, const Demand& demand, uint32_t vcpus) {
    // One node: the one that keeps the least behind, so that large demands still find room elsewhere.
    const Free* best = nullptr;
    const uint64_t beside = demand.pages == PageSize::Size4K ? demand.epc_bytes : 0;
    for (const auto& node : free) {
        if (node.threads() < vcpus || node.bytes < demand.memory_bytes ||
            node.bytes - demand.memory_bytes < beside)
            continue;
        const auto left = [](const Free& f) { return std::pair(f.cores.size(), f.bytes); };
        if (best == nullptr || left(node) < left(*best)) best = &node;
    }
    if (best != nullptr)
        return {{.node = best->node,
                 .cores = take_cores(best->cores, vcpus),
                 .memory_bytes = demand.memory_bytes}};
    if (demand.placement == Placement::OneNode) return {};
    return spread(free, vcpus, demand.memory_bytes);
}

Result<void> check_demand(const Demand& demand) {
    if (demand.owner.empty() || demand.owner == Ledger::kHost || demand.owner == Ledger::kFree)
        return fail(ErrorCode::InvalidArgument, "a lease needs an owner with a name of its own");
    if (demand.vcpus == 0) return fail(ErrorCode::InvalidArgument, "at least one vCPU is needed");
    if (demand.memory_bytes == 0 || !is_aligned<uint64_t>(demand.memory_bytes, 2_MiB))
        return fail(ErrorCode::InvalidArgument, "memory is lent in multiples of 2 MiB");
    if (!is_aligned<uint64_t>(demand.epc_bytes, 2_MiB))
        return fail(ErrorCode::InvalidArgument, "EPC is lent in multiples of 2 MiB");
    if (!is_aligned<uint64_t>(demand.hardware_epc_bytes, 1_MiB))
        return fail(ErrorCode::InvalidArgument, "EPC of the processors is lent in multiples of 1 MiB");
    return {};
}

// Of the CPUs that a demand names: the cores, if they are whole and free.
Result<std::set<CoreId>> named_cores(const Entries& book, const Demand& demand) {
    const auto named = [&](CpuId cpu) { return std::ranges::count(demand.cpus, cpu) == 1; };
    if (demand.policy == CpuPolicy::Shared)
        return fail(ErrorCode::InvalidArgument, "only dedicated CPUs can be chosen");
    if (demand.cpus.size() != demand.vcpus)
        return fail(ErrorCode::InvalidArgument, "as many CPUs are chosen as there are vCPUs");
    std::set<CoreId> cores;
    for (const auto cpu : demand.cpus) {
        const Core* found = nullptr;
        for (const auto& node : book.capacity.nodes) {
            for (const auto& core : node.lendable)
                if (std::ranges::find(core.cpus, cpu) != core.cpus.end()) found = &core;
        }
        const std::string name = "CPU " + std::to_string(cpu.value);
        if (found == nullptr || book.holder_of(found->id) != nullptr)
            return fail(ErrorCode::NoFreeCores, name + " is not among those that are free to be lent");
        if (!std::ranges::all_of(found->cpus, named))
            return fail(ErrorCode::InvalidArgument,
                        name + " is chosen twice, or without the other threads of its core");
        cores.insert(found->id);
    }
    return cores;
}

Result<void> check_capacity(const Capacity& capacity) {
    std::set<CpuId> cpus;
    std::set<NumaNode> nodes;
    const auto add = [&](const Core& core) {
        return !core.cpus.empty() &&
               std::ranges::all_of(core.cpus, [&](CpuId cpu) { return cpus.insert(cpu).second; });
    };
    const auto is_whole = [](const Core& core) { return core.cpus.front().value == core.id.value; };
    bool valid = std::ranges::all_of(capacity.reserve, add);
    for (const auto& node : capacity.nodes) {
        valid = valid && nodes.insert(node.node).second && std::ranges::all_of(node.lendable, add) &&
                std::ranges::all_of(node.lendable, is_whole);
    }
    if (!valid)
        return fail(ErrorCode::InvalidArgument,
                    "the capacity names a CPU or node twice, or lends part of a core");
    return {};
}

}  // namespace

struct Ledger::Book {
    explicit Book(Entries first) : entries(std::move(first)) {}
    Guarded<Entries> entries;
};

uint64_t Grant::memory_bytes() const {
    uint64_t bytes = 0;
    for (const auto& node : nodes)
        bytes += node.memory_bytes;
    return bytes;
}

uint64_t Grant::epc_bytes() const {
    uint64_t bytes = 0;
    for (const auto& node : nodes)
        bytes += node.epc_bytes;
    return bytes;
}

uint64_t Grant::hardware_epc_bytes() const {
    uint64_t bytes = 0;
    for (const auto& node : nodes)
        bytes += node.hardware_epc_bytes;
    return bytes;
}

Result<Ledger> Ledger::create(Capacity capacity) {
    TRY(check_capacity(capacity));
    std::ranges::sort(capacity.nodes, {}, &NodeCapacity::node);
    auto book = std::make_shared<Book>(Entries{.capacity = std::move(capacity), .grants = {}});
    return Ledger(std::move(book));
}

Result<Lease> Ledger::reserve(const Demand& demand) {
    TRY(check_demand(demand));
    auto granted = book_->entries.with([&](Entries& book) -> Result<Grant> {
        if (book.grants.contains(demand.owner))
            return fail(ErrorCode::AlreadyExists, demand.owner + " has a lease already");
        const bool shared = demand.policy == CpuPolicy::Shared;
        if (shared && !book.capacity.shared_policy_safe)
            return fail(ErrorCode::Unsupported,
                        "the CPU policy 'shared' needs a kernel with core scheduling "
                        "(CONFIG_SCHED_CORE) on a host with SMT; use 'dedicated'");
        const uint32_t threads = shared ? 0 : demand.vcpus;
        auto free = book.free_by_node(demand.pages);
        if (!demand.cpus.empty()) {
            const auto cores = TRY(named_cores(book, demand));
            for (auto& node : free)
                std::erase_if(node.cores, [&](const Core* core) { return !cores.contains(core->id); });
        }
        Grant grant{
            .owner = demand.owner, .pages = demand.pages, .policy = demand.policy, .nodes = {}, .cpus = {}};
        grant.nodes = choose(free, demand, threads);
        if (grant.nodes.empty()) return shortage(demand, threads, free);
        const auto entry = book.grants.emplace(demand.owner, grant).first;  // its memory is not free for EPC
        const uint64_t missing = add_epc(grant, kSoftwareEpc, demand.epc_bytes,
                                         book.free_by_node(PageSize::Size4K), demand.placement);
        uint64_t hardware_missing = 0;
        if (demand.hardware_epc_bytes != 0)
            hardware_missing = add_epc(grant, kHardwareEpc, demand.hardware_epc_bytes,
                                       book.free_hardware_epc_by_node(), demand.placement);
        if (missing != 0 || hardware_missing != 0) {
            book.grants.erase(entry);
            if (missing != 0) return epc_shortage(demand.epc_bytes, missing);
            return hardware_epc_shortage(demand.hardware_epc_bytes, hardware_missing);
        }
        grant.cpus = book.cpus_of(grant);
        entry->second = grant;
        return grant;
    });
    if (!granted) return Failure{std::move(granted).error()};
    return Lease(book_, std::move(*granted));
}

Result<Lease> Ledger::adopt(const Grant& grant) {
    auto adopted = book_->entries.with([&](Entries& book) -> Result<Grant> {
        if (grant.owner.empty() || book.grants.contains(grant.owner))
            return fail(ErrorCode::AlreadyExists, "'" + grant.owner + "' has a lease already, or no name");
        std::set<CoreId> own;
        for (const auto& node : grant.nodes) {
            for (const auto id : node.cores) {
                if (book.find_core(id) == nullptr)
                    return fail(ErrorCode::NotFound, "this host has no core " + std::to_string(id.value));
                if (const auto* holder = book.holder_of(id); holder != nullptr || !own.insert(id).second)
                    return fail(ErrorCode::AlreadyExists, "core " + std::to_string(id.value) +
                                                              " belongs to " +
                                                              (holder != nullptr ? *holder : grant.owner));
            }
        }
        Grant booked = grant;
        booked.cpus = book.cpus_of(booked);
        book.grants.emplace(booked.owner, booked);
        return booked;
    });
    if (!adopted) return Failure{std::move(adopted).error()};
    return Lease(book_, std::move(*adopted));
}

Result<Lease> Ledger::open(const std::string& owner, PageSize pages, CpuPolicy policy) {
    Grant grant{.owner = owner, .pages = pages, .policy = policy, .nodes = {}, .cpus = {}};
    return adopt(grant);
}

Result<void> Ledger::transfer(Lease& from, Lease& to, const std::vector<CoreId>& cores,
                              uint64_t memory_bytes) {
    ALCOVE_CHECK(from.book_ == book_ && to.book_ == book_, "both leases are of this ledger");
    ALCOVE_CHECK(
        from.grant_.pages == to.grant_.pages && (cores.empty() || from.grant_.policy == to.grant_.policy),
        "what passes on stays what it is");
    Grant giver = from.grant_;
    Grant taker = to.grant_;
    if (!move_cores(giver, taker, cores) || !move_memory(giver, taker, memory_bytes))
        return fail(ErrorCode::InvalidArgument,
                    giver.owner + " does not hold what is to pass to " + taker.owner);
    book_->entries.with([&](Entries& book) {
        for (auto* grant : {&giver, &taker}) {
            std::erase_if(grant->nodes, is_empty);
            grant->cpus = book.cpus_of(*grant);
            book.grants[grant->owner] = *grant;
        }
    });
    from.grant_ = std::move(giver);
    to.grant_ = std::move(taker);
    return {};
}

Result<void> Ledger::change_epc(Lease& lease, uint64_t epc_bytes) {
    ALCOVE_CHECK(lease.book_ == book_, "the lease is of this ledger");
    if (!is_aligned<uint64_t>(epc_bytes, 2_MiB))
        return fail(ErrorCode::InvalidArgument, "EPC is lent in pieces of 2 MiB");
    Grant grant = lease.grant_;
    const uint64_t before = grant.epc_bytes();
    if (epc_bytes < before) take_epc(grant, before - epc_bytes);
    const uint64_t missing = book_->entries.with([&](Entries& book) {
        const uint64_t more = epc_bytes > before ? epc_bytes - before : 0;
        const uint64_t left =
            add_epc(grant, kSoftwareEpc, more, book.free_by_node(PageSize::Size4K), Placement::AnyNodes);
        if (left == 0) book.grants[grant.owner] = grant;
        return left;
    });
    if (missing != 0) return epc_shortage(epc_bytes - before, missing);
    lease.grant_ = std::move(grant);
    return {};
}

uint64_t Ledger::free_hardware_epc_bytes() const {
    return book_->entries.with([](Entries& book) {
        uint64_t bytes = 0;
        for (const auto& node : book.capacity.nodes)
            bytes += book.free_hardware_epc(node);
        return bytes;
    });
}

std::vector<CpuId> Ledger::reserve_cpus() const {
    Grant shared;
    shared.policy = CpuPolicy::Shared;
    return book_->entries.with([&](Entries& book) { return book.cpus_of(shared); });
}

std::vector<NodeAccount> Ledger::account() const {
    return book_->entries.with([](Entries& book) {
        std::vector<NodeAccount> result;
        for (const auto& node : book.capacity.nodes) {
            NodeAccount account{.node = node.node, .lines = {}};
            AccountLine host{.owner = kHost};
            for (const auto& core : book.capacity.reserve) {
                if (core.node == node.node && book.holder_of(core.id) == nullptr)
                    host.cores.push_back(core.id);
            }
            account.lines.push_back(std::move(host));
            for (const auto& [owner, grant] : book.grants) {
                for (const auto& part : grant.nodes) {
                    if (part.node != node.node) continue;
                    const bool huge = grant.pages == PageSize::Size2M;
                    account.lines.push_back({.owner = owner,
                                             .cores = part.cores,
                                             .small_bytes = huge ? 0 : part.memory_bytes,
                                             .huge_bytes = huge ? part.memory_bytes : 0,
                                             .epc_bytes = part.epc_bytes,
                                             .hardware_epc_bytes = part.hardware_epc_bytes});
                }
            }
            AccountLine free{.owner = kFree};
            for (const auto& core : node.lendable) {
                if (book.holder_of(core.id) == nullptr) free.cores.push_back(core.id);
            }
            free.small_bytes = book.free_bytes(node, PageSize::Size4K);
            free.huge_bytes = book.free_bytes(node, PageSize::Size2M);
            free.hardware_epc_bytes = book.free_hardware_epc(node);
            account.lines.push_back(std::move(free));
            result.push_back(std::move(account));
        }
        return result;
    });
}

std::vector<Grant> Ledger::grants() const {
    return book_->entries.with([](Entries& book) {
        std::vector<Grant> result;
        for (const auto& [owner, grant] : book.grants)
            result.push_back(grant);
        return result;
    });
}

Capacity Ledger::capacity() const {
    return book_->entries.with([](Entries& book) { return book.capacity; });
}

Lease& Lease::operator=(Lease&& other) noexcept {
    if (this != &other) {
        give_back();
        book_ = std::move(other.book_);
        grant_ = std::move(other.grant_);
    }
    return *this;
}

void Lease::give_back() {
    if (book_ == nullptr) return;
    book_->entries.with([&](Entries& book) { book.grants.erase(grant_.owner); });
    book_.reset();
}

}  // namespace alcove::host

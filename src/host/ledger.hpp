// SPDX-License-Identifier: Apache-2.0
//
// The ledger: every core and every byte that Alcove may lend has exactly one owner at any time. What is
// lent is a Lease, which returns itself; nothing else moves ownership. Keyed by NUMA node throughout.
//
// Cores are lent whole, with all their SMT threads, and never the host's reserve. A demand is met by one
// node if one can; only Placement::AnyNodes lets it spread. What one owner holds can pass to another in
// parts, as carving does, and is never free in between. Owners with CpuPolicy::Shared hold memory but no
// core: they run on the host's own cores under core scheduling, and are refused where two owners could meet
// on the siblings of one core. EPC of SGX in software is host memory and counts against it; EPC of the
// processors is a thing of its own, of which each node has its own.
//
// Pure logic: the host is known by its Capacity only. All functions may be called from any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/topology.hpp"
#include "host/units.hpp"
#include "support/result.hpp"

namespace alcove::host {

struct NodeCapacity {
    NumaNode node;
    std::vector<Core> lendable{};  // whole cores only
    uint64_t small_bytes = 0;      // may be lent as 4 KiB pages
    uint64_t huge_bytes = 0;       // may be lent as 2 MiB pages
    uint64_t hardware_epc_bytes = 0;
};

struct Capacity {
    std::vector<NodeCapacity> nodes;
    std::vector<Core> reserve;       // the host's own cores, never lent
    bool shared_policy_safe = true;  // no SMT, or a kernel with core scheduling
};

enum class Placement : uint8_t {
    OneNode,
    AnyNodes,
};

struct Demand {
    std::string owner;  // not empty; one lease at a time
    uint32_t vcpus = 0;
    uint64_t memory_bytes = 0;        // a multiple of 2 MiB
    uint64_t epc_bytes = 0;           // likewise: EPC of SGX in software, which is memory in 4 KiB pages
    uint64_t hardware_epc_bytes = 0;  // a multiple of 1 MiB: the processors' EPC, which is no memory
    PageSize pages = PageSize::Size4K;
    CpuPolicy policy = CpuPolicy::Dedicated;
    Placement placement = Placement::AnyNodes;
    std::vector<CpuId> cpus{};  // if not empty, these and no others: as many as vCPUs, whole cores, dedicated
};

struct NodeGrant {
    NumaNode node;
    std::vector<CoreId> cores{};  // ascending
    uint64_t memory_bytes = 0;
    uint64_t epc_bytes = 0;  // beside it
    uint64_t hardware_epc_bytes = 0;
    bool operator==(const NodeGrant&) const = default;
};

// What one owner holds. `cpus` are all it may run on: its cores' threads, or the reserve's when shared. One
// that was opened and given nothing yet has no nodes.
struct Grant {
    std::string owner;
    PageSize pages = PageSize::Size4K;
    CpuPolicy policy = CpuPolicy::Dedicated;
    std::vector<NodeGrant> nodes;  // ascending, none empty
    std::vector<CpuId> cpus;       // ascending
    uint64_t memory_bytes() const;
    uint64_t epc_bytes() const;
    uint64_t hardware_epc_bytes() const;
    bool operator==(const Grant&) const = default;
};

// One node's column of the book. The first line is always the host's reserve, the last what is free.
struct AccountLine {
    std::string owner;  // Ledger::kHost, Ledger::kFree, or a lease's
    std::vector<CoreId> cores{};
    uint64_t small_bytes = 0;
    uint64_t huge_bytes = 0;
    uint64_t epc_bytes = 0;  // memory in 4 KiB pages, beside the small ones
    uint64_t hardware_epc_bytes = 0;
};
struct NodeAccount {
    NumaNode node;
    std::vector<AccountLine> lines;
};

class Lease;

class Ledger {
  public:
    static constexpr const char* kHost = "host";
    static constexpr const char* kFree = "free";

    // ErrorCode::InvalidArgument when a core or node stands in it twice.
    static Result<Ledger> create(Capacity capacity);

    // ErrorCode::NoFreeCores, NoFreeMemory, NoHugePages or NoFreeEpc when it cannot be met, Unsupported when
    // shared CPUs are not safe here, NoFreeCores also when one that is named is not free, AlreadyExists when
    // the owner has a lease, InvalidArgument for nonsense. The ledger is unchanged then.
    Result<Lease> reserve(const Demand& demand);

    // Books what somebody holds already (a VM that outlived the daemon). Memory is booked even beyond the
    // capacity, because it is gone either way; a core that another owner has is ErrorCode::AlreadyExists.
    Result<Lease> adopt(const Grant& grant);

    // A lease of nothing, for an owner that will be given parts of another's. ErrorCode::AlreadyExists.
    Result<Lease> open(const std::string& owner, PageSize pages, CpuPolicy policy);
    // Whole cores that `from` holds and some of its memory become `to`'s, both of this ledger and of one page
    // size and policy. ErrorCode::InvalidArgument when `from` has not so much; nothing has moved then.
    Result<void> transfer(Lease& from, Lease& to, const std::vector<CoreId>& cores, uint64_t memory_bytes);

    // Another amount of EPC in software, a multiple of 2 MiB: what is more is taken from its own nodes first.
    // ErrorCode::NoFreeMemory when there is not so much; nothing has changed then.
    Result<void> change_epc(Lease& lease, uint64_t epc_bytes);

    uint64_t free_hardware_epc_bytes() const;  // on all nodes
    std::vector<CpuId> reserve_cpus() const;   // the host's own, ascending
    std::vector<NodeAccount> account() const;  // by node
    std::vector<Grant> grants() const;         // by owner
    Capacity capacity() const;

  private:
    friend class Lease;
    struct Book;
    explicit Ledger(std::shared_ptr<Book> book) : book_(std::move(book)) {}
    std::shared_ptr<Book> book_;
};

// What one owner holds, until this object ends. It may outlive the Ledger it came from.
class Lease {
  public:
    Lease() = default;
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&& other) noexcept;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { give_back(); }

    bool holds() const { return book_ != nullptr; }
    const Grant& grant() const { return grant_; }
    void give_back();

  private:
    friend class Ledger;
    Lease(std::shared_ptr<Ledger::Book> book, Grant grant)
        : book_(std::move(book)), grant_(std::move(grant)) {}
    std::shared_ptr<Ledger::Book> book_;
    Grant grant_;
};

}  // namespace alcove::host

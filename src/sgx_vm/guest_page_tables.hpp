// SPDX-License-Identifier: Apache-2.0
//
// Walks a guest's own page tables as its processor would, with the same faults and the same accessed and
// dirty bits. Tables that lie where no RAM is read as ones, which is a reserved-bit fault.
//
// Departure: a guest's tables are taken for four levels; ours is never offered five, nor protection keys.
#pragma once

#include <optional>

#include "sgx/leaf_context.hpp"
#include "sgx_vm/guest_physical.hpp"

namespace alcove::sgx_vm {

struct PagingMode {
    uint64_t cr3 = 0;
    bool write_protect = true;  // CR0.WP
    bool no_execute = true;     // EFER.NXE
    bool smep = false;          // CR4
    bool smap = false;
};

struct Requester {
    uint8_t cpl = 0;
    bool ac = false;  // RFLAGS.AC, which lifts SMAP
};

struct PageWalk {
    memory::GuestAddress address{};  // of the byte
    bool writable = false;
    bool user = false;
    bool executable = false;
    bool accessed = false;  // in all entries
    bool dirty = false;
};

class GuestPageTables {
  public:
    static constexpr unsigned kPhysicalBits = 39;  // what CPUID says

    GuestPageTables(const GuestPhysical& physical, const PagingMode& mode)
        : physical_(physical), mode_(mode) {}

    // #GP(0) for an address that is not canonical, #PF as the tables say.
    sgx::Outcome<PageWalk> walk(uint64_t linear, sgx::Access access, Requester who) const;
    // What the tables say, without touching them.
    std::optional<PageWalk> look(uint64_t linear) const;

    // Bytes across pages. A read may begin before a page that faults: what is in `into` counts for nothing
    // then.
    sgx::Outcome<void> read(uint64_t linear, MutableByteView into, sgx::Access access, Requester who) const;
    // Of up to a page. Nothing is written before all of it can be.
    sgx::Outcome<void> write(uint64_t linear, ByteView from, Requester who) const;

  private:
    struct Step {
        memory::GuestAddress place{};
        uint64_t entry = 0;
    };
    struct Path {
        Step steps[4]{};
        unsigned count = 0;
        PageWalk result{};
        bool present = false;
        bool reserved = false;
    };
    Path follow(uint64_t linear) const;
    bool is_allowed(const PageWalk& walk, sgx::Access access, Requester who) const;
    bool mark(const Path& path, sgx::Access access) const;

    const GuestPhysical& physical_;
    PagingMode mode_;
};

}  // namespace alcove::sgx_vm

// SPDX-License-Identifier: Apache-2.0
//
// Plays a kernel that fills page tables in a test's memory. Directories give all rights.
#pragma once

#include <memory>

#include "memory/guest_memory.hpp"
#include "sgx_vm/paging_spec.hpp"
#include "support/endian.hpp"

namespace alcove::sgx_vm {

inline constexpr uint64_t kPresent = paging::P;
inline constexpr uint64_t kWritable = paging::P | paging::RW;
inline constexpr uint64_t kForRing3 = paging::P | paging::RW | paging::US;

class TableMaker {
  public:
    // Tables are pages from `first` on; that one is the root.
    TableMaker(const memory::GuestMemory& memory, uint64_t first)
        : memory_(memory), root_(first), next_(first + 4096) {}

    uint64_t root() const { return root_; }
    void map(uint64_t linear, uint64_t physical, uint64_t flags, unsigned level = 1) {
        put(place(linear, level), physical | flags | (level > 1 ? paging::PS : 0));
    }
    uint64_t entry(uint64_t linear, unsigned level = 1) {
        return memory_.read<Le64>(memory::GuestAddress(place(linear, level))).value();
    }
    // Where the entry is; tables on the way are made.
    uint64_t place(uint64_t linear, unsigned level) {
        uint64_t table = root_;
        for (unsigned at = paging::kTopLevel; at > level; --at) {
            const uint64_t slot = table + 8 * paging::index_of(linear, at);
            uint64_t entry = memory_.read<Le64>(memory::GuestAddress(slot)).value();
            if ((entry & paging::P) == 0) {
                entry = next_ | kForRing3;
                next_ += 4096;
                put(slot, entry);
            }
            table = entry & paging::kAddressMask;
        }
        return table + 8 * paging::index_of(linear, level);
    }
    void put(uint64_t slot, uint64_t entry) {
        memory_.write<Le64>(memory::GuestAddress(slot), entry).value();
    }

  private:
    const memory::GuestMemory& memory_;
    uint64_t root_;
    uint64_t next_;
};

}  // namespace alcove::sgx_vm

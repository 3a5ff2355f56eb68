// SPDX-License-Identifier: Apache-2.0
//
// A machine's RAM as KVM's memory slots, from which ranges can be taken and given back while the machine
// lives. A slot cannot be split: it is deleted and its rest is added again, and all second-level mappings of
// it go with it. So RAM is cut into blocks beforehand, one slot each, and taking a range disturbs no block
// but those it touches. Between a delete and an add neighbouring memory is missing, so the vCPUs have to be
// parked whenever one of the calls below is made.
//
// KVM keeps slots in a tree and allows 32764 of them for each address space (KVM_USER_MEM_SLOTS).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "kvm/vm.hpp"
#include "memory/guest_memory.hpp"
#include "support/result.hpp"

namespace alcove::machine {

class MemorySlots {
  public:
    // Sets a slot, or deletes it when its size is 0: Vm::set_memory_slot.
    using Setter = std::function<Result<void>(const kvm::MemorySlot&)>;

    // The size of a block for `ram_size` bytes: 2 MiB, what carving moves, or more where that would be too
    // many slots.
    static uint64_t block_for(uint64_t ram_size);
    // In how many pieces RAM may come to lie, with such blocks, before KVM's slots run out.
    static uint64_t most_pieces(uint64_t ram_size);

    // Adds everything. Slots are numbered from `first_slot` on, and nobody else numbers any from there.
    static Result<MemorySlots> create(Setter set, std::vector<memory::GuestMemory::MappedRegion> regions,
                                      uint64_t block, uint32_t first_slot);

    // Ranges are whole pages, inside one region. What is absent already, or present, stays so. A failure of
    // KVM's (out of memory) leaves the machine without some of the touched blocks: it cannot go on.
    Result<void> remove(memory::GuestRange range);
    Result<void> restore(memory::GuestRange range);

    // Ascending; neighbours are not merged.
    std::vector<memory::GuestRange> present() const;

  private:
    struct Slot {
        uint32_t number;
        uint64_t size;
    };
    using Ranges = std::map<uint64_t, uint64_t>;  // base to end

    MemorySlots(Setter set, std::vector<memory::GuestMemory::MappedRegion> regions, uint64_t block,
                uint32_t first_slot)
        : set_(std::move(set)), regions_(std::move(regions)), block_(block), next_number_(first_slot) {}

    enum class Presence { Absent, Present };
    Result<void> change(memory::GuestRange range, Presence presence);
    Result<void> rebuild_block(uint64_t base, uint64_t end, const Ranges& wanted);
    Result<void> add(uint64_t base, uint64_t end);
    Result<void> remove_slot(std::map<uint64_t, Slot>::iterator slot);

    Setter set_;
    std::vector<memory::GuestMemory::MappedRegion> regions_;
    uint64_t block_;
    std::map<uint64_t, Slot> slots_;  // by guest address
    std::set<uint32_t> free_numbers_;
    uint32_t next_number_;
};

}  // namespace alcove::machine

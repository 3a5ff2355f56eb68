// SPDX-License-Identifier: Apache-2.0
//
// Which parts of a primary's RAM are carved out, and for whom. A region is in here exactly as long as its
// slot owns it; what is not in here is the primary's. Also bounds the pieces that the primary's RAM can come
// to lie in, because each takes one of KVM's memory slots: giving memory back makes pieces too (of what lies
// between two other slots' regions), and must never fail.
//
// A stretch is as much RAM as lies together and has one owner, the primary included. Freeing a slot never
// makes more of them, and whichever slots are freed, of two stretches beside each other only one can begin a
// piece.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "memory/guest_address.hpp"
#include "ne/ids.hpp"

namespace alcove::ne {

class CarvedMap {
  public:
    // RAM as Parent has it: ascending, apart from one another.
    explicit CarvedMap(std::vector<memory::GuestRange> ram) : ram_(std::move(ram)), stretches_(ram_.size()) {}

    bool overlaps(const memory::GuestRange& region) const;
    std::optional<SlotUid> owner(memory::GuestAddress address) const;  // nothing: the primary
    std::vector<memory::GuestRange> regions_of(SlotUid owner) const;   // ascending
    std::vector<memory::GuestRange> all_regions() const;
    uint64_t carved_bytes() const { return carved_bytes_; }

    uint64_t stretches() const { return stretches_; }
    // As many pieces as the primary's RAM has after any slots were freed, at most: now, and with `region`
    // (free, inside RAM) carved as well.
    uint64_t most_pieces() const { return pieces_of(stretches_); }
    uint64_t most_pieces_with(const memory::GuestRange& region, SlotUid owner) const;

    void add(const memory::GuestRange& region, SlotUid owner);  // free and inside RAM
    void remove(const memory::GuestRange& region);              // one that was added

  private:
    struct Carved {
        uint64_t size;
        SlotUid owner;
    };
    // One owner's stretches and another's take turns in each range of RAM.
    uint64_t pieces_of(uint64_t stretches) const { return (stretches + ram_.size()) / 2; }
    bool is_ram(uint64_t address) const;
    // How many stretches carving a free region makes, less those that it joins.
    int64_t added_stretches(const memory::GuestRange& region, SlotUid owner) const;

    std::vector<memory::GuestRange> ram_;
    std::map<uint64_t, Carved> carved_;  // by base
    uint64_t stretches_;
    uint64_t carved_bytes_ = 0;
};

}  // namespace alcove::ne

// SPDX-License-Identifier: Apache-2.0
#include "machine/memory_slots.hpp"

#include <algorithm>
#include <bit>

#include "support/bits.hpp"
#include "support/check.hpp"

namespace alcove::machine {

namespace {

// Of KVM's 32764, with room for devices and for blocks that are in pieces.
constexpr uint64_t kMaxBlocks = 16384;
constexpr uint64_t kMaxSlots = 32'000;

}  // namespace

uint64_t MemorySlots::block_for(uint64_t ram_size) {
    uint64_t block = 2_MiB;
    while (ram_size / block > kMaxBlocks)
        block *= 2;
    return block;
}

// A piece takes one slot for each block that it touches: one more than it would if blocks had no borders in
// it.
uint64_t MemorySlots::most_pieces(uint64_t ram_size) {
    return kMaxSlots - ram_size / block_for(ram_size);
}

Result<MemorySlots> MemorySlots::create(Setter set, std::vector<memory::GuestMemory::MappedRegion> regions,
                                        uint64_t block, uint32_t first_slot) {
    ALCOVE_CHECK(block >= 4_KiB && std::has_single_bit(block), "blocks are a power of two of pages");
    MemorySlots slots(std::move(set), std::move(regions), block, first_slot);
    for (const auto& mapped : std::vector(slots.regions_)) {
        const auto range = mapped.region.range;
        for (uint64_t base = range.base.value(); base < range.end();) {
            const uint64_t end = std::min(range.end(), align_down(base, block) + block);
            TRY(slots.add(base, end));
            base = end;
        }
    }
    return slots;
}

Result<void> MemorySlots::remove(memory::GuestRange range) {
    return change(range, Presence::Absent);
}

Result<void> MemorySlots::restore(memory::GuestRange range) {
    return change(range, Presence::Present);
}

std::vector<memory::GuestRange> MemorySlots::present() const {
    std::vector<memory::GuestRange> ranges;
    for (const auto& [base, slot] : slots_)
        ranges.push_back({memory::GuestAddress(base), slot.size});
    return ranges;
}

Result<void> MemorySlots::change(memory::GuestRange range, Presence presence) {
    const auto holds = [&](const memory::GuestMemory::MappedRegion& mapped) {
        const auto& region = mapped.region.range;
        return region.contains(range.base) && range.end() <= region.end();
    };
    ALCOVE_CHECK(range.size > 0 && is_aligned(range.base.value() | range.size, uint64_t{4_KiB}) &&
                     std::ranges::any_of(regions_, holds),
                 "what is taken and given back is whole pages of one region");
    for (uint64_t base = align_down(range.base.value(), block_); base < range.end(); base += block_) {
        const uint64_t end = base + block_;
        const uint64_t from = std::max(base, range.base.value());
        const uint64_t to = std::min(end, range.end());
        Ranges wanted;
        const auto want = [&](uint64_t piece_base, uint64_t piece_end) {
            if (piece_base < piece_end) wanted.emplace(piece_base, piece_end);
        };
        for (auto slot = slots_.lower_bound(base); slot != slots_.end() && slot->first < end; ++slot) {
            const uint64_t slot_end = slot->first + slot->second.size;
            want(slot->first, std::min(slot_end, from));
            want(std::max(slot->first, to), slot_end);
        }
        if (presence == Presence::Present) want(from, to);
        TRY(rebuild_block(base, end, wanted));
    }
    return {};
}

// One slot for each run of neighbours in `wanted`.
Result<void> MemorySlots::rebuild_block(uint64_t base, uint64_t end, const Ranges& wanted) {
    Ranges merged;
    for (const auto& [piece_base, piece_end] : wanted) {
        if (!merged.empty() && merged.rbegin()->second == piece_base)
            merged.rbegin()->second = piece_end;
        else
            merged.emplace(piece_base, piece_end);
    }
    for (auto slot = slots_.lower_bound(base); slot != slots_.end() && slot->first < end;) {
        const auto kept = merged.find(slot->first);
        const auto next = std::next(slot);
        if (kept != merged.end() && kept->second == slot->first + slot->second.size)
            merged.erase(kept);
        else
            TRY(remove_slot(slot));
        slot = next;
    }
    for (const auto& [piece_base, piece_end] : merged)
        TRY(add(piece_base, piece_end));
    return {};
}

Result<void> MemorySlots::add(uint64_t base, uint64_t end) {
    const auto mapped = std::ranges::find_if(regions_, [&](const auto& candidate) {
        return candidate.region.range.contains(memory::GuestAddress(base));
    });
    ALCOVE_CHECK(mapped != regions_.end(), "slots are of RAM");
    const bool reuse = !free_numbers_.empty();
    const uint32_t number = reuse ? *free_numbers_.begin() : next_number_;
    TRY(set_({.slot = number,
              .flags = 0,
              .guest_address = base,
              .size = end - base,
              .host_address = mapped->host_address + (base - mapped->region.range.base.value())}));
    if (reuse)
        free_numbers_.erase(number);
    else
        ++next_number_;
    slots_.emplace(base, Slot{.number = number, .size = end - base});
    return {};
}

Result<void> MemorySlots::remove_slot(std::map<uint64_t, Slot>::iterator slot) {
    TRY(set_({.slot = slot->second.number,
              .flags = 0,
              .guest_address = slot->first,
              .size = 0,
              .host_address = 0}));
    free_numbers_.insert(slot->second.number);
    slots_.erase(slot);
    return {};
}

}  // namespace alcove::machine

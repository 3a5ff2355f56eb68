// SPDX-License-Identifier: Apache-2.0
#include "ne/carved_map.hpp"

#include <algorithm>
#include <iterator>

#include "support/check.hpp"

namespace alcove::ne {

using memory::GuestAddress;
using memory::GuestRange;

bool CarvedMap::overlaps(const GuestRange& region) const {
    // The last region that begins before our end is the only one that can reach into ours.
    const auto after = carved_.lower_bound(region.end());
    if (after == carved_.begin()) return false;
    const auto& [base, carved] = *std::prev(after);
    return base + carved.size > region.base.value();
}

std::optional<SlotUid> CarvedMap::owner(GuestAddress address) const {
    const auto after = carved_.upper_bound(address.value());
    if (after == carved_.begin()) return std::nullopt;
    const auto& [base, carved] = *std::prev(after);
    if (address.value() - base >= carved.size) return std::nullopt;
    return carved.owner;
}

std::vector<GuestRange> CarvedMap::regions_of(SlotUid region_owner) const {
    std::vector<GuestRange> regions;
    for (const auto& [base, carved] : carved_)
        if (carved.owner == region_owner) regions.push_back({GuestAddress(base), carved.size});
    return regions;
}

std::vector<GuestRange> CarvedMap::all_regions() const {
    std::vector<GuestRange> regions;
    for (const auto& [base, carved] : carved_)
        regions.push_back({GuestAddress(base), carved.size});
    return regions;
}

bool CarvedMap::is_ram(uint64_t address) const {
    return std::ranges::any_of(
        ram_, [address](const GuestRange& range) { return range.contains(GuestAddress(address)); });
}

// A free region lies in one stretch of the primary's. What is left of that on a side is a stretch; a
// neighbour of the same owner takes the region in; at another's, or at the end of RAM, nothing changes.
int64_t CarvedMap::added_stretches(const GuestRange& region, SlotUid region_owner) const {
    const auto at = [&](uint64_t address) -> int64_t {
        if (!is_ram(address)) return 0;
        const auto neighbour = owner(GuestAddress(address));
        if (!neighbour) return 1;
        return *neighbour == region_owner ? -1 : 0;
    };
    const int64_t below = region.base.value() > 0 ? at(region.base.value() - 1) : 0;
    return below + at(region.end());
}

uint64_t CarvedMap::most_pieces_with(const GuestRange& region, SlotUid owner) const {
    return pieces_of(stretches_ + static_cast<uint64_t>(added_stretches(region, owner)));
}

void CarvedMap::add(const GuestRange& region, SlotUid region_owner) {
    ALCOVE_CHECK(
        region.size > 0 && is_ram(region.base.value()) && is_ram(region.end() - 1) && !overlaps(region),
        "only free RAM is carved");
    stretches_ += static_cast<uint64_t>(added_stretches(region, region_owner));
    carved_.emplace(region.base.value(), Carved{.size = region.size, .owner = region_owner});
    carved_bytes_ += region.size;
}

void CarvedMap::remove(const GuestRange& region) {
    const auto found = carved_.find(region.base.value());
    ALCOVE_CHECK(found != carved_.end() && found->second.size == region.size, "the region was carved");
    const SlotUid region_owner = found->second.owner;
    carved_.erase(found);
    carved_bytes_ -= region.size;
    stretches_ -= static_cast<uint64_t>(added_stretches(region, region_owner));
}

}  // namespace alcove::ne

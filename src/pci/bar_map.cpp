// SPDX-License-Identifier: Apache-2.0
#include "pci/bar_map.hpp"

#include <algorithm>
#include <mutex>

#include "pci/function.hpp"
#include "support/check.hpp"
#include "support/checked.hpp"

namespace alcove::pci {

namespace {

// Not by end(): a guest's address may lie so high that the range wraps.
bool holds(const memory::GuestRange& range, uint64_t address, uint64_t size) {
    return address >= range.base.value() && range_within(address - range.base.value(), size, range.size);
}

}  // namespace

bool BarMap::can_hold(uint64_t address, uint64_t size) const {
    return std::ranges::any_of(windows_, [&](const auto& window) { return holds(window, address, size); });
}

void BarMap::place(Function& function, uint8_t bar, memory::GuestRange range) {
    ALCOVE_CHECK(can_hold(range.base.value(), range.size), "a BAR answers inside a window only");
    const std::unique_lock lock(mutex_);
    placed_.push_back({.range = range, .function = &function, .bar = bar});
}

void BarMap::remove(const Function& function, uint8_t bar) {
    const std::unique_lock lock(mutex_);
    std::erase_if(placed_,
                  [&](const Placed& placed) { return placed.function == &function && placed.bar == bar; });
}

std::optional<BarMap::Hit> BarMap::find(uint64_t address, uint64_t length) const {
    const std::shared_lock lock(mutex_);
    const auto found = std::ranges::find_if(
        placed_, [&](const Placed& placed) { return holds(placed.range, address, length); });
    if (found == placed_.end()) return std::nullopt;
    return Hit{.function = found->function, .bar = found->bar, .offset = address - found->range.base.value()};
}

bool BarMap::read(uint64_t address, MutableByteView data) const {
    std::ranges::fill(data, uint8_t{0xff});
    const auto hit = find(address, data.size());
    if (hit) hit->function->read_bar(hit->bar, hit->offset, data);
    return hit.has_value();
}

bool BarMap::write(uint64_t address, ByteView data) const {
    const auto hit = find(address, data.size());
    if (hit) hit->function->write_bar(hit->bar, hit->offset, data);
    return hit.has_value();
}

}  // namespace alcove::pci

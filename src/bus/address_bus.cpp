// SPDX-License-Identifier: Apache-2.0
#include "bus/address_bus.hpp"

#include <algorithm>

#include "support/checked.hpp"

namespace alcove::bus {

void AddressBus::add(uint64_t base, uint64_t size, BusDevice& device) {
    ALCOVE_CHECK(size > 0 && checked_add(base, size - 1), "a window has bytes and does not wrap");
    const auto next = windows_.lower_bound(base);
    ALCOVE_CHECK(next == windows_.end() || next->first - base >= size, "windows do not overlap");
    ALCOVE_CHECK(next == windows_.begin() || base - std::prev(next)->first >= std::prev(next)->second.size,
                 "windows do not overlap");
    windows_.emplace(base, Window{.size = size, .device = &device});
}

AddressBus::Hit AddressBus::find(uint64_t address, uint64_t length) const {
    auto after = windows_.upper_bound(address);
    if (after == windows_.begin()) return {};
    const auto& [base, window] = *std::prev(after);
    const uint64_t offset = address - base;
    if (!range_within(offset, length, window.size)) return {};
    return {.device = window.device, .offset = offset};
}

bool AddressBus::read(uint64_t address, MutableByteView data) const {
    std::ranges::fill(data, uint8_t{0xff});
    const auto hit = find(address, data.size());
    if (hit.device == nullptr) return false;
    hit.device->read(hit.offset, data);
    return true;
}

bool AddressBus::write(uint64_t address, ByteView data) const {
    const auto hit = find(address, data.size());
    if (hit.device == nullptr) return false;
    hit.device->write(hit.offset, data);
    return true;
}

}  // namespace alcove::bus

// SPDX-License-Identifier: Apache-2.0
#include "pci/config_space.hpp"

#include <algorithm>
#include <bit>

#include "support/check.hpp"
#include "support/checked.hpp"
#include "support/endian.hpp"

namespace alcove::pci {

ConfigSpace::ConfigSpace(const Identity& identity) {
    put(header::VendorID, identity.vendor_id, 2);
    put(header::DeviceID, identity.device_id, 2);
    put(header::RevisionID, identity.revision_id, 1);
    put(header::ClassCode, identity.class_code, 3);
    put(header::SubsystemVendorID, identity.subsystem_vendor_id, 2);
    put(header::SubsystemID, identity.subsystem_id, 2);
    // No I/O BAR and no INTx exist, but drivers turn both bits and expect them to stick.
    allow(header::Command,
          command::IO_SPACE | command::MEMORY_SPACE | command::BUS_MASTER | command::INTERRUPT_DISABLE, 2);
    // Without meaning here, and kept for whoever writes them (PCI 3.0, 6.2.4).
    allow(header::CacheLineSize, 0xff, 1);
    allow(header::InterruptLine, 0xff, 1);
}

uint8_t ConfigSpace::bar_offset(uint8_t index) {
    return static_cast<uint8_t>(header::BaseAddress + 4 * index);
}

void ConfigSpace::put(uint8_t offset, uint64_t value, size_t width) {
    for (size_t i = 0; i < width; ++i) {
        value_[offset + i] = static_cast<uint8_t>(value >> (8 * i));
        initial_[offset + i] = value_[offset + i];
    }
}

void ConfigSpace::allow(uint8_t offset, uint64_t mask, size_t width) {
    for (size_t i = 0; i < width; ++i)
        writable_[offset + i] = static_cast<uint8_t>(mask >> (8 * i));
}

bool ConfigSpace::is_free(uint8_t bar) const {
    if (bar >= kBarCount || bars_[bar].size != 0) return false;
    return bar == 0 || bars_[bar - 1U].size == 0 || bars_[bar - 1U].kind == BarKind::Memory32;
}

void ConfigSpace::add_bar(uint8_t index, BarKind kind, uint64_t size) {
    ALCOVE_CHECK(is_free(index), "a BAR has its own register");
    ALCOVE_CHECK(std::has_single_bit(size) && size > base_address::kFlagBits,
                 "a BAR's size is a power of two from 16 on");
    bars_[index] = {.size = size, .kind = kind};
    const uint64_t mask = ~(size - 1);
    if (kind == BarKind::Memory32) {
        ALCOVE_CHECK(size <= bit<uint64_t>(31), "a 32-bit BAR is not larger than 2 GiB");
        allow(bar_offset(index), mask, 4);
        return;
    }
    ALCOVE_CHECK(index + 1 < kBarCount && bars_[index + 1U].size == 0, "a 64-bit BAR has two registers");
    const uint32_t prefetchable = kind == BarKind::Memory64Prefetchable ? base_address::PREFETCHABLE : 0;
    put(bar_offset(index), base_address::TYPE_64 | prefetchable, 8);
    allow(bar_offset(index), mask, 8);
}

void ConfigSpace::place_bar(uint8_t index, uint64_t address) {
    const auto& bar = bars_.at(index);
    ALCOVE_CHECK(bar.size != 0 && is_aligned(address, bar.size), "a BAR lies at a multiple of its size");
    const uint32_t flags = u32(bar_offset(index)) & base_address::kFlagBits;
    put(bar_offset(index), address | flags, bar.kind == BarKind::Memory32 ? 4 : 8);
}

uint8_t ConfigSpace::add_capability(uint8_t id, ByteView body, ByteView writable) {
    const uint32_t offset = align_up<uint32_t>(capabilities_end_, 4);
    const auto end = static_cast<uint32_t>(offset + 2 + body.size());
    ALCOVE_CHECK(end <= kConfigSize, "capabilities fit into configuration space");
    ALCOVE_CHECK(writable.empty() || writable.size() == body.size(), "the mask is as long as the body");
    const auto at = static_cast<uint8_t>(offset);
    put(at, id, 1);
    for (size_t i = 0; i < body.size(); ++i) {
        put(static_cast<uint8_t>(offset + 2 + i), body[i], 1);
        allow(static_cast<uint8_t>(offset + 2 + i), writable.empty() ? 0 : writable[i], 1);
    }
    put(last_link_, at, 1);
    put(header::Status, status::CAPABILITIES_LIST, 2);
    last_link_ = static_cast<uint8_t>(at + 1);
    capabilities_end_ = end;
    return at;
}

void ConfigSpace::read(uint64_t offset, MutableByteView into) const {
    std::ranges::fill(into, uint8_t{0xff});
    if (!range_within<uint64_t>(offset, into.size(), kConfigSize)) return;
    std::copy_n(value_.begin() + static_cast<ptrdiff_t>(offset), into.size(), into.begin());
}

void ConfigSpace::write(uint64_t offset, ByteView from) {
    if (!range_within<uint64_t>(offset, from.size(), kConfigSize)) return;
    for (size_t i = 0; i < from.size(); ++i) {
        const uint8_t mask = writable_[offset + i];
        value_[offset + i] = static_cast<uint8_t>((value_[offset + i] & ~mask) | (from[i] & mask));
    }
}

void ConfigSpace::reset() {
    value_ = initial_;
}

uint16_t ConfigSpace::u16(uint8_t offset) const {
    return read_object<Le16>(value_, offset).value_or(0xffff);
}

uint32_t ConfigSpace::u32(uint8_t offset) const {
    return read_object<Le32>(value_, offset).value_or(0xffffffff);
}

uint64_t ConfigSpace::bar_address(uint8_t index) const {
    const auto& bar = bars_.at(index);
    const uint64_t low = u32(bar_offset(index)) & ~base_address::kFlagBits;
    if (bar.kind == BarKind::Memory32) return low;
    return low | uint64_t{u32(bar_offset(static_cast<uint8_t>(index + 1)))} << 32;
}

}  // namespace alcove::pci

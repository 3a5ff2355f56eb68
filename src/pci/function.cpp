// SPDX-License-Identifier: Apache-2.0
#include "pci/function.hpp"

#include <algorithm>

#include "support/check.hpp"
#include "support/checked.hpp"
#include "support/endian.hpp"
#include "support/log.hpp"

namespace alcove::pci {

namespace {

// PCI 3.0, 6.8.2: what follows id and link.
struct MsixCapability {
    Le16 message_control;  // 2
    Le32 table;            // 4  offset, BAR in the low three bits
    Le32 pending;          // 8
};
static_assert(sizeof(MsixCapability) == msix::kCapabilitySize - 2);

}  // namespace

Function::Function(const Identity& identity) : front_(identity) {}

void Function::add_bar(uint8_t bar, BarKind kind, uint64_t size) {
    bar_sizes_.at(bar) = size;
    front_.with([&](Front& front) { front.config.add_bar(bar, kind, size); });
}

uint8_t Function::add_capability(uint8_t id, ByteView body, ByteView writable) {
    return front_.with([&](Front& front) { return front.config.add_capability(id, body, writable); });
}

void Function::add_msix(std::unique_ptr<MsixTable> table, const MsixPlace& place) {
    ALCOVE_CHECK(msix_ == nullptr, "a function has one MSI-X table");
    const uint64_t size = bar_sizes_.at(place.bar);
    ALCOVE_CHECK(is_aligned(place.table_offset, 8U) && is_aligned(place.pending_offset, 8U),
                 "table and pending bits are aligned to 8 bytes");
    ALCOVE_CHECK(range_within<uint64_t>(place.table_offset, table->table_bytes(), size) &&
                     range_within<uint64_t>(place.pending_offset, table->pending_bytes(), size),
                 "table and pending bits lie in their BAR");
    const MsixCapability capability{.message_control = static_cast<uint16_t>(table->size() - 1),
                                    .table = place.table_offset | place.bar,
                                    .pending = place.pending_offset | place.bar};
    const MsixCapability writable{
        .message_control = msix::ENABLE | msix::FUNCTION_MASK, .table = 0, .pending = 0};
    msix_capability_ = add_capability(capability_id::MsiX, object_bytes(capability), object_bytes(writable));
    msix_ = std::move(table);
    msix_place_ = place;
}

void Function::add_msix(std::unique_ptr<MsixTable> table, uint8_t bar) {
    add_bar(bar, BarKind::Memory32, MsixTable::kBarSize);
    add_msix(std::move(table),
             MsixPlace{.bar = bar, .table_offset = 0, .pending_offset = MsixTable::kPendingOffset});
}

void Function::add_doorbell(uint8_t bar, uint64_t offset, const EventFd& event) {
    ALCOVE_CHECK(offset < bar_sizes_.at(bar), "a doorbell lies in its BAR");
    front_.with([&](Front& front) {
        front.doorbells.push_back({.bar = bar, .offset = offset, .event = &event, .attached = std::nullopt});
    });
}

void Function::attach(BarMap& map, bus::DoorbellHost* doorbells) {
    front_.with([&](Front& front) {
        ALCOVE_CHECK(front.map == nullptr, "a function is on one bus");
        front.map = &map;
        front.doorbell_host = doorbells;
        settle(front);
    });
}

void Function::detach() {
    front_.with([&](Front& front) {
        for (uint8_t bar = 0; bar < kBarCount; ++bar) {
            detach_doorbells(front, bar);
            if (std::exchange(front.decoded[bar], std::nullopt)) front.map->remove(*this, bar);
        }
        front.map = nullptr;
        front.doorbell_host = nullptr;
    });
}

void Function::place_bar(uint8_t bar, uint64_t address) {
    front_.with([&](Front& front) { front.config.place_bar(bar, address); });
}

BarKind Function::bar_kind(uint8_t bar) const {
    return front_.with([&](const Front& front) { return front.config.bar_kind(bar); });
}

void Function::read_config(uint32_t offset, MutableByteView data) {
    front_.with([&](const Front& front) { front.config.read(offset, data); });
}

void Function::write_config(uint32_t offset, ByteView data) {
    front_.with([&](Front& front) {
        front.config.write(offset, data);
        settle(front);
    });
}

void Function::reset() {
    reset_device();
    front_.with([&](Front& front) {
        front.config.reset();
        settle(front);
    });
    if (msix_ != nullptr) msix_->reset();
}

// Brings everything that hangs on configuration space in line with it.
void Function::settle(Front& front) {
    for (uint8_t bar = 0; bar < kBarCount; ++bar)
        settle_bar(front, bar);
    if (msix_ == nullptr) return;
    const uint16_t control = front.config.u16(static_cast<uint8_t>(msix_capability_ + msix::MessageControl));
    msix_->set_control({.enable = (control & msix::ENABLE) != 0,
                        .function_mask = (control & msix::FUNCTION_MASK) != 0,
                        .bus_master = (front.config.u16(header::Command) & command::BUS_MASTER) != 0});
}

void Function::settle_bar(Front& front, uint8_t bar) {
    const uint64_t size = bar_sizes_[bar];
    if (size == 0 || front.map == nullptr) return;
    const bool is_decoding = (front.config.u16(header::Command) & command::MEMORY_SPACE) != 0;
    const uint64_t address = front.config.bar_address(bar);
    const auto decoded =
        is_decoding && front.map->can_hold(address, size) ? std::optional<uint64_t>(address) : std::nullopt;
    if (decoded == front.decoded[bar]) return;
    if (front.decoded[bar]) {
        detach_doorbells(front, bar);
        front.map->remove(*this, bar);
    }
    front.decoded[bar] = decoded;
    if (!decoded) return;
    front.map->place(*this, bar, {.base = memory::GuestAddress(*decoded), .size = size});
    attach_doorbells(front, bar, *decoded);
}

void Function::attach_doorbells(Front& front, uint8_t bar, uint64_t address) {
    if (front.doorbell_host == nullptr) return;
    for (auto& doorbell : front.doorbells) {
        if (doorbell.bar != bar) continue;
        const memory::GuestAddress at(address + doorbell.offset);  // inside a window
        const auto result = front.doorbell_host->attach_any(at, *doorbell.event);
        // A guest that puts two BARs at one place gets here. Its writes are exits then.
        if (result) doorbell.attached = at;
    }
}

void Function::detach_doorbells(Front& front, uint8_t bar) {
    for (auto& doorbell : front.doorbells) {
        if (doorbell.bar != bar || !doorbell.attached) continue;
        front.doorbell_host->detach_any(*doorbell.attached, *doorbell.event);
        doorbell.attached.reset();
    }
}

std::optional<Function::Block> Function::msix_block(uint8_t bar, uint64_t offset) const {
    if (msix_ == nullptr || bar != msix_place_.bar) return std::nullopt;
    const auto is_in = [offset](uint64_t start, uint64_t size) {
        return offset >= start && offset - start < size;
    };
    if (is_in(msix_place_.table_offset, msix_->table_bytes()))
        return Block{.device = &msix_->table(), .offset = offset - msix_place_.table_offset};
    if (is_in(msix_place_.pending_offset, msix_->pending_bytes()))
        return Block{.device = &msix_->pending(), .offset = offset - msix_place_.pending_offset};
    return std::nullopt;
}

void Function::read_bar(uint8_t bar, uint64_t offset, MutableByteView data) {
    std::ranges::fill(data, uint8_t{0xff});
    if (const auto block = msix_block(bar, offset)) return block->device->read(block->offset, data);
    read_register(bar, offset, data);
}

void Function::write_bar(uint8_t bar, uint64_t offset, ByteView data) {
    if (const auto block = msix_block(bar, offset)) return block->device->write(block->offset, data);
    write_register(bar, offset, data);
}

}  // namespace alcove::pci

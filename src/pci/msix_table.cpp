// SPDX-License-Identifier: Apache-2.0
#include "pci/msix_table.hpp"

#include <algorithm>

#include "pci/spec.hpp"
#include "support/check.hpp"
#include "support/endian.hpp"

namespace alcove::pci {

namespace {

// SDM vol. 3A, "Message Address Register Format". The upper half carries no destination: guests have fewer
// than 256 APIC ids and are not offered more (KVM_FEATURE_MSI_EXT_DEST_ID).
constexpr uint64_t kInterruptAddressMask = 0xffff'ffff'fff0'0000;
constexpr uint64_t kInterruptAddress = 0xfee0'0000;

uint32_t word_of(const bus::Message& message, bool masked, uint64_t field) {
    switch (field) {
        case msix::MessageAddress:
            return static_cast<uint32_t>(message.address);
        case msix::MessageUpperAddress:
            return static_cast<uint32_t>(message.address >> 32);
        case msix::MessageData:
            return message.data;
        default:
            return masked ? msix::MASKED : 0;
    }
}

}  // namespace

MsixTable::MsixTable(std::vector<Vector> vectors) : size_(static_cast<uint16_t>(vectors.size())) {
    state_.with([&](State& state) { state.vectors = std::move(vectors); });
}

Result<std::unique_ptr<MsixTable>> MsixTable::create(bus::MessageInterrupts& interrupts, uint16_t vectors) {
    ALCOVE_CHECK(vectors > 0 && vectors <= kMaxVectors, "a table has 1 to 128 vectors");
    std::vector<Vector> made(vectors);
    for (auto& vector : made)
        vector.line = TRY(interrupts.create_line());
    return std::unique_ptr<MsixTable>(new MsixTable(std::move(made)));
}

uint32_t MsixTable::table_bytes() const {
    return msix::kEntrySize * size_;
}

uint32_t MsixTable::pending_bytes() const {
    return align_up<uint32_t>(size_, 64) / 8;
}

bool MsixTable::is_open(const State& state, const Vector& vector) {
    const auto& control = state.control;
    return control.enable && control.bus_master && !control.function_mask && !vector.masked;
}

void MsixTable::settle(State& state, Vector& vector) {
    if (!is_open(state, vector)) return;
    if (vector.tried != vector.message) route(state, vector);
    if (std::exchange(vector.pending, false)) deliver(state, vector);
}

void MsixTable::route(State& state, Vector& vector) {
    vector.tried = vector.message;
    vector.routed = false;
    if ((vector.message.address & kInterruptAddressMask) != kInterruptAddress) {
        vector.line->unroute();
        return;
    }
    ++state.counters.routes;
    const auto result = vector.line->route(vector.message);
    vector.routed = result.has_value();
    uint64_t suppressed = 0;
    if (!vector.routed && state.refusals.allow(suppressed))
        log::warn("MSI-X: no route for a message: {} ({} similar messages left out)",
                  result.error().to_string(), suppressed);
}

void MsixTable::deliver(State& state, Vector& vector) {
    ++(vector.routed ? state.counters.delivered : state.counters.lost);
    if (vector.routed) vector.line->trigger();
}

void MsixTable::trigger(uint16_t index) {
    ALCOVE_CHECK(index < size_, "a device knows its vectors");
    state_.with([&](State& state) {
        if (!state.control.enable) return;
        auto& vector = state.vectors[index];
        if (is_open(state, vector)) return deliver(state, vector);
        ++state.counters.held;
        vector.pending = true;
    });
}

void MsixTable::forget_pending(uint16_t index) {
    ALCOVE_CHECK(index < size_, "a device knows its vectors");
    state_.with([&](State& state) { state.vectors[index].pending = false; });
}

void MsixTable::set_control(const Control& control) {
    state_.with([&](State& state) {
        state.control = control;
        for (auto& vector : state.vectors) {
            if (!control.enable) vector.pending = false;
            settle(state, vector);
        }
    });
}

void MsixTable::reset() {
    state_.with([](State& state) {
        state.control = {};
        for (auto& vector : state.vectors) {
            vector.line->unroute();
            vector.message = {};
            vector.masked = true;
            vector.pending = false;
            vector.tried.reset();
            vector.routed = false;
        }
    });
}

void MsixTable::read_table(uint64_t offset, MutableByteView data) const {
    std::ranges::fill(data, uint8_t{0xff});
    state_.with([&](const State& state) {
        for (size_t i = 0; i < data.size() && (offset + i) / msix::kEntrySize < size_; ++i) {
            const auto& vector = state.vectors[(offset + i) / msix::kEntrySize];
            const uint64_t field = (offset + i) % msix::kEntrySize;
            const uint32_t word = word_of(vector.message, vector.masked, align_down<uint64_t>(field, 4));
            data[i] = static_cast<uint8_t>(word >> (8 * (field % 4)));
        }
    });
}

void MsixTable::write_table(uint64_t offset, ByteView data) {
    if ((data.size() != 4 && data.size() != 8) || offset % data.size() != 0) return;
    if (offset / msix::kEntrySize >= size_) return;
    state_.with([&](State& state) {
        auto& vector = state.vectors[offset / msix::kEntrySize];
        auto& message = vector.message;
        for (size_t i = 0; i < data.size(); i += 4) {
            const uint32_t value = *read_object<Le32>(data, i);
            switch (offset % msix::kEntrySize + i) {
                case msix::MessageAddress:
                    // The message is naturally aligned (PCI 3.0, 6.8.2.6).
                    message.address = (message.address & ~uint64_t{0xffffffff}) | (value & ~3U);
                    break;
                case msix::MessageUpperAddress:
                    message.address = (message.address & 0xffffffff) | uint64_t{value} << 32;
                    break;
                case msix::MessageData:
                    message.data = value;
                    break;
                default:
                    vector.masked = (value & msix::MASKED) != 0;
                    break;
            }
        }
        settle(state, vector);
    });
}

void MsixTable::read_pending(uint64_t offset, MutableByteView data) const {
    std::ranges::fill(data, uint8_t{0xff});
    state_.with([&](const State& state) {
        for (size_t i = 0; i < data.size() && offset + i < pending_bytes(); ++i) {
            data[i] = 0;
            for (uint64_t j = 0; j < 8; ++j) {
                const uint64_t index = 8 * (offset + i) + j;
                if (index < size_ && state.vectors[index].pending)
                    data[i] = static_cast<uint8_t>(data[i] | 1U << j);
            }
        }
    });
}

MsixTable::Counters MsixTable::counters() const {
    return state_.with([](const State& state) { return state.counters; });
}

}  // namespace alcove::pci

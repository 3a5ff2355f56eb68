// SPDX-License-Identifier: Apache-2.0
//
// What the registers of a virtio-mmio device read as, kept in a page of memory. No register of virtio-mmio
// changes by being read, so a machine may map this page read-only into the guest: reads then cost no exit
// at all, and writes still come to us. Without the mapping BusDevice::read() answers from the same page.
//
// Any thread may read. Words are written by the transport under its lock, except InterruptStatus, which
// both sides change by atomic operations.
#pragma once

#include <atomic>
#include <cstdint>

#include "support/bytes.hpp"
#include "support/mapping.hpp"
#include "support/result.hpp"
#include "virtio/spec.hpp"

namespace alcove::virtio {

class RegisterPage {
  public:
    static Result<RegisterPage> create();

    // Byte by byte what a guest would see; `offset + into.size()` lies inside the page.
    void read(uint64_t offset, MutableByteView into) const;

    void set(mmio::Register reg, uint32_t value) { word(reg).store(value, std::memory_order_release); }
    uint32_t get(mmio::Register reg) const { return word(reg).load(std::memory_order_acquire); }
    void set_bits(mmio::Register reg, uint32_t bits) { word(reg).fetch_or(bits, std::memory_order_acq_rel); }
    void clear_bits(mmio::Register reg, uint32_t bits) {
        word(reg).fetch_and(~bits, std::memory_order_acq_rel);
    }
    // The device's configuration space; what does not fit behind the registers is cut off.
    void set_config(ByteView config);

    // Where the page is in this process, for a read-only memory slot.
    uint64_t host_address() const { return reinterpret_cast<uint64_t>(mapping_.data()); }

  private:
    explicit RegisterPage(Mapping mapping) : mapping_(std::move(mapping)) {}
    std::atomic_ref<uint32_t> word(uint64_t offset) const;

    Mapping mapping_;
};

}  // namespace alcove::virtio

// SPDX-License-Identifier: Apache-2.0
//
// The 256 bytes of a function's configuration space: what each reads as and which of its bits a write
// changes. A BAR needs nothing more to be sized: the bits below its size are read-only zeros, so ones written
// to it come back as its mask. Extended configuration space reads as ones, which is how a function without it
// answers.
//
// Pure state without a lock; function.hpp gives it meaning.
#pragma once

#include <array>
#include <cstdint>

#include "memory/guest_address.hpp"
#include "pci/spec.hpp"
#include "support/bytes.hpp"

namespace alcove::pci {

struct Identity {
    uint16_t vendor_id = 0;
    uint16_t device_id = 0;
    uint32_t class_code = 0;  // 24 bits
    uint8_t revision_id = 0;
    uint16_t subsystem_vendor_id = 0;
    uint16_t subsystem_id = 0;
};

enum class BarKind { Memory32, Memory64, Memory64Prefetchable };

class ConfigSpace {
  public:
    explicit ConfigSpace(const Identity& identity);

    // Building it, before anybody reads. Sizes are powers of two from 16 on; a 64-bit BAR takes the next
    // register too.
    void add_bar(uint8_t index, BarKind kind, uint64_t size);
    // Where the BAR is at first and after a reset: a multiple of its size.
    void place_bar(uint8_t index, uint64_t address);
    // `body` stands behind id and link; bits set in `writable` (as long, or empty) can be written. Gives the
    // capability's offset.
    uint8_t add_capability(uint8_t id, ByteView body, ByteView writable = {});

    // Any offset and width of up to 8 bytes; what does not lie whole in the 256 bytes reads as ones and is
    // not written.
    void read(uint64_t offset, MutableByteView into) const;
    void write(uint64_t offset, ByteView from);
    void reset();

    uint16_t u16(uint8_t offset) const;
    uint32_t u32(uint8_t offset) const;
    uint64_t bar_size(uint8_t index) const { return bars_[index].size; }  // 0: there is none
    BarKind bar_kind(uint8_t index) const { return bars_[index].kind; }
    // What the BAR holds, whether or not it is decoded.
    uint64_t bar_address(uint8_t index) const;

  private:
    struct Bar {
        uint64_t size = 0;
        BarKind kind = BarKind::Memory32;
    };
    static uint8_t bar_offset(uint8_t index);
    void put(uint8_t offset, uint64_t value, size_t width);
    void allow(uint8_t offset, uint64_t mask, size_t width);
    bool is_free(uint8_t bar) const;

    std::array<uint8_t, kConfigSize> value_{};
    std::array<uint8_t, kConfigSize> initial_{};
    std::array<uint8_t, kConfigSize> writable_{};
    std::array<Bar, kBarCount> bars_{};
    uint32_t capabilities_end_ = header::kSize;
    uint8_t last_link_ = header::CapabilitiesPointer;  // offset of the byte that names the next capability
};

}  // namespace alcove::pci

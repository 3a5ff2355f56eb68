// SPDX-License-Identifier: Apache-2.0
//
// One request of a driver: the pieces of guest memory that a descriptor chain named, in order, first those
// the device may read, then those it may write. The descriptors were copied and checked when the chain was
// taken; what the pieces contain may still change under our eyes, so it is copied out before it is looked
// at.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memory/guest_memory.hpp"
#include "support/bytes.hpp"

namespace alcove::virtio {

struct Chain {
    uint16_t head = 0;         // names the chain when it is given back
    uint16_t descriptors = 0;  // entries of the ring's own table that it holds
    std::vector<memory::GuestSlice> readable;
    std::vector<memory::GuestSlice> writable;
    uint32_t readable_bytes = 0;
    uint32_t writable_bytes = 0;
};

// The part [offset, offset + length) of `slices`, as far as they go, appended to `into`.
void append_part(std::span<const memory::GuestSlice> slices, uint64_t offset, uint64_t length,
                 std::vector<memory::GuestSlice>& into);

// Copies out of the slices from `offset` on until `into` is full or they end; says how many bytes.
size_t copy_from(std::span<const memory::GuestSlice> slices, uint64_t offset, MutableByteView into);
// Copies into the slices from `offset` on until `from` or they end; says how many bytes.
size_t copy_to(const memory::GuestMemory& memory, std::span<const memory::GuestSlice> slices, uint64_t offset,
               ByteView from);

}  // namespace alcove::virtio

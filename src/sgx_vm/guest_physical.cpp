// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/guest_physical.hpp"

#include <algorithm>

#include "memory/guest_atomic.hpp"
#include "support/bits.hpp"
#include "support/endian.hpp"

namespace alcove::sgx_vm {

void GuestPhysical::read(memory::GuestAddress address, MutableByteView into) const {
    if (!ram_->read_bytes(address, into)) std::fill(into.begin(), into.end(), uint8_t{0xff});
}

void GuestPhysical::write(memory::GuestAddress address, ByteView from) const {
    static_cast<void>(ram_->write_bytes(address, from));  // or it is dropped
}

bool GuestPhysical::is_ram_page(memory::GuestAddress page) const {
    return ram_->is_ram({.base = page, .size = 4_KiB});
}

uint64_t GuestPhysical::entry(memory::GuestAddress address) const {
    Le64 entry;
    read(address, {reinterpret_cast<uint8_t*>(&entry), sizeof entry});
    return entry;
}

bool GuestPhysical::change_entry(memory::GuestAddress address, uint64_t expected, uint64_t desired) const {
    const auto changed = memory::compare_exchange_u64(*ram_, address, expected, desired);
    return changed.has_value() && *changed;
}

}  // namespace alcove::sgx_vm

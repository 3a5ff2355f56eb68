// SPDX-License-Identifier: Apache-2.0
#include "memory/guest_atomic.hpp"

#include "memory/guest_slice_access.hpp"
#include "support/bits.hpp"

namespace alcove::memory {

Result<bool> compare_exchange_u64(const GuestMemory& memory, GuestAddress address, uint64_t expected,
                                  uint64_t desired) {
    if (!is_aligned(address.value(), uint64_t{sizeof(uint64_t)}))
        return fail(ErrorCode::GuestAddressInvalid, "an atomic word lies on its boundary");
    const auto slice = TRY(memory.slice(address, sizeof(uint64_t)));
    uint8_t* data = GuestSliceAccess::data(slice);
    bool exchanged = false;
    const bool touched = GuestSliceAccess::fences(slice).outside(data, sizeof(uint64_t), [&] {
        exchanged = __atomic_compare_exchange_n(reinterpret_cast<uint64_t*>(data), &expected, desired, false,
                                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    });
    if (!touched) return fail(ErrorCode::GuestAddressInvalid, "the guest's memory is not there");
    return exchanged;
}

}  // namespace alcove::memory

// SPDX-License-Identifier: Apache-2.0
//
// Atomic changes of words that the guest's processors change at the same time: page table entries.
#pragma once

#include "memory/guest_memory.hpp"

namespace alcove::memory {

// Writes `desired` if the naturally aligned word is still `expected`, and says whether it was. Sequentially
// consistent, as a processor's locked instructions. ErrorCode::GuestAddressInvalid when it is no RAM.
Result<bool> compare_exchange_u64(const GuestMemory& memory, GuestAddress address, uint64_t expected,
                                  uint64_t desired);

}  // namespace alcove::memory

// SPDX-License-Identifier: Apache-2.0
//
// The memory of an enclave: a memfd of fixed size whose every page is there before the guest begins. Lent by
// the host for good: what can not be reserved is an error now, not a dead enclave later.
#pragma once

#include <atomic>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::enclave {

// Without any page yet, and of size 0.
Result<Fd> make_guest_ram(uint32_t page_size);

// `page_size` is api::kSmallPage or api::kHugePage, `bytes` a multiple of it. ErrorCode::NoHugePages or
// NoFreeMemory says how much there would have to be and how much there is; Cancelled when `cancelled` was
// set.
Result<Fd> reserve_guest_ram(uint64_t bytes, uint32_t page_size, const std::atomic<bool>& cancelled);

}  // namespace alcove::enclave

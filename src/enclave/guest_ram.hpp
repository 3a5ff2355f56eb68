// SPDX-License-Identifier: Apache-2.0
//
// The memory of a VM: a memfd of fixed size that is filled with pages while it is launched. Lent by the host
// for good: what can not be had is an error of the launch, not a dead enclave later.
#pragma once

#include <atomic>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::enclave {

// Without any page yet, and of size 0.
Result<Fd> make_guest_ram(uint32_t page_size);

// `page_size` is api::kSmallPage or api::kHugePage, `bytes` a multiple of it. ErrorCode::NoHugePages or
// NoFreeMemory says how much there would have to be and how much there is.

// Of its size for good, and without pages; small ones appear as they are touched. Looks whether there is
// enough.
Result<Fd> open_guest_ram(uint64_t bytes, uint32_t page_size);
// Every page. ErrorCode::Cancelled when `cancelled` was set.
Result<void> fill_guest_ram(const Fd& ram, uint64_t bytes, uint32_t page_size,
                            const std::atomic<bool>& cancelled);

}  // namespace alcove::enclave

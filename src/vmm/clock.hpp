// SPDX-License-Identifier: Apache-2.0
//
// The time in a VMM's messages.
#pragma once

#include <chrono>
#include <cstdint>

namespace alcove::vmm {

// Nanoseconds of CLOCK_MONOTONIC.
inline uint64_t now_ns() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace alcove::vmm

// SPDX-License-Identifier: Apache-2.0
//
// Random bytes for keys, tokens and guests, from the crypto library's generator (seeded by the kernel).
#pragma once

#include <array>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::crypto {

Result<void> fill_random(MutableByteView into);

template <size_t Size>
Result<std::array<uint8_t, Size>> random_array() {
    std::array<uint8_t, Size> bytes{};
    auto filled = fill_random(bytes);
    if (!filled) return Failure{std::move(filled).error()};
    return bytes;
}

}  // namespace alcove::crypto

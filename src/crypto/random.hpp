// SPDX-License-Identifier: Apache-2.0
//
// Random bytes for keys, tokens and guests: the kernel's generator. Not the crypto library's, which reads its
// configuration file at the first call and so does not work behind a VMM's system call filter.
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

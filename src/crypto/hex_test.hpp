// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "codec/hex.hpp"

namespace alcove::crypto {

// Of a test's own constants, which are right.
inline Bytes hex(std::string_view digits) {
    return codec::hex_decode(digits).value();
}

}  // namespace alcove::crypto

// SPDX-License-Identifier: Apache-2.0
//
// Bytes as hexadecimal digits. Written in lower case, read in either.
#pragma once

#include <string>
#include <string_view>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::codec {

std::string hex_encode(ByteView bytes);
Result<Bytes> hex_decode(std::string_view text);  // TextMalformed

}  // namespace alcove::codec

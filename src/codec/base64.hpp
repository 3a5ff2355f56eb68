// SPDX-License-Identifier: Apache-2.0
//
// Base64 (RFC 4648, section 4): the standard alphabet, padded. Decoding is strict, so that every byte
// string has exactly one text: no white space, no missing padding, no bits set behind the end.
#pragma once

#include <string>
#include <string_view>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::codec {

std::string base64_encode(ByteView bytes);
Result<Bytes> base64_decode(std::string_view text);  // TextMalformed

}  // namespace alcove::codec

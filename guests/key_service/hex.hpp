// SPDX-License-Identifier: Apache-2.0
//
// Bytes as hexadecimal text, as nonces and keys are written on command lines and in the verifier's output.
#pragma once

#include <string>
#include <string_view>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::key_service {

std::string to_hex(ByteView bytes);        // lower case
Result<Bytes> from_hex(std::string_view);  // both cases, nothing but digits, an even number of them

}  // namespace alcove::key_service

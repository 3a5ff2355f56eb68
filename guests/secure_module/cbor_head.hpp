// SPDX-License-Identifier: Apache-2.0
//
// The parts that all of a module's messages are made of: an item's type and argument, in any width (RFC 8949,
// 3), and strings. Written by hand: a static program has no use for a library's other half.
#pragma once

#include <cstdint>
#include <string_view>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::secure_module {

// RFC 8949, 3.1 "Major Types".
enum class Major : uint8_t { Unsigned = 0, ByteString = 2, TextString = 3, Array = 4, Map = 5, Simple = 7 };

// Arguments of Major::Simple.
inline constexpr uint8_t kFalse = 20;
inline constexpr uint8_t kTrue = 21;
inline constexpr uint8_t kNull = 22;

void put_head(Bytes& out, Major major, uint64_t argument);
void put_bytes(Bytes& out, Major major, ByteView bytes);
void put_text(Bytes& out, std::string_view text);

struct Head {
    Major major;  // may be one that is not listed
    uint64_t argument;
};

// Takes a head off the front. CborMalformed: the bytes end early, or the length is indefinite.
Result<Head> take_head(ByteView& bytes);

}  // namespace alcove::secure_module

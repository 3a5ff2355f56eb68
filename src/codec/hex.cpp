// SPDX-License-Identifier: Apache-2.0
//
// Two digits a byte, the high one first.
#include "codec/hex.hpp"

#include <optional>

namespace alcove::codec {

namespace {

std::optional<uint8_t> digit_value(char digit) {
    if (digit >= '0' && digit <= '9') return static_cast<uint8_t>(digit - '0');
    if (digit >= 'a' && digit <= 'f') return static_cast<uint8_t>(digit - 'a' + 10);
    if (digit >= 'A' && digit <= 'F') return static_cast<uint8_t>(digit - 'A' + 10);
    return std::nullopt;
}

}  // namespace

std::string hex_encode(ByteView bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    text.reserve(bytes.size() * 2);
    for (const uint8_t byte : bytes) {
        text.push_back(kDigits[byte >> 4]);
        text.push_back(kDigits[byte & 15]);
    }
    return text;
}

Result<Bytes> hex_decode(std::string_view text) {
    if (text.size() % 2 != 0) return fail(ErrorCode::TextMalformed, "a hexadecimal text has an odd length");
    Bytes bytes;
    bytes.reserve(text.size() / 2);
    for (size_t index = 0; index < text.size(); index += 2) {
        const auto high = digit_value(text[index]);
        const auto low = digit_value(text[index + 1]);
        if (!high || !low)
            return fail(ErrorCode::TextMalformed,
                        "no hexadecimal digit at position " + std::to_string(index));
        bytes.push_back(static_cast<uint8_t>(*high << 4 | *low));
    }
    return bytes;
}

}  // namespace alcove::codec

// SPDX-License-Identifier: Apache-2.0
#include "key_service/hex.hpp"

namespace alcove::key_service {

namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

// 16 for what is no digit.
unsigned digit_value(char character) {
    if (character >= 'A' && character <= 'F') character = static_cast<char>(character - 'A' + 'a');
    const size_t position = kDigits.find(character);
    return position == std::string_view::npos ? 16 : static_cast<unsigned>(position);
}

}  // namespace

std::string to_hex(ByteView bytes) {
    std::string text;
    for (const uint8_t byte : bytes) {
        text.push_back(kDigits[byte >> 4]);
        text.push_back(kDigits[byte & 0xf]);
    }
    return text;
}

Result<Bytes> from_hex(std::string_view text) {
    if (text.size() % 2 != 0)
        return fail(ErrorCode::TextMalformed, "hexadecimal text needs an even number of digits");
    Bytes bytes;
    for (size_t i = 0; i < text.size(); i += 2) {
        const unsigned high = digit_value(text[i]);
        const unsigned low = digit_value(text[i + 1]);
        if (high > 15 || low > 15) return fail(ErrorCode::TextMalformed, "not a hexadecimal digit");
        bytes.push_back(static_cast<uint8_t>(high << 4 | low));
    }
    return bytes;
}

}  // namespace alcove::key_service

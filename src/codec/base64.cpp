// SPDX-License-Identifier: Apache-2.0
//
// Three bytes are four digits of six bits.
#include "codec/base64.hpp"

#include <algorithm>
#include <array>

namespace alcove::codec {

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kNoDigit = 0xFF;

constexpr std::array<uint8_t, 256> kDigits = [] {
    std::array<uint8_t, 256> table{};
    table.fill(kNoDigit);
    for (size_t index = 0; index < kAlphabet.size(); ++index)
        table[static_cast<uint8_t>(kAlphabet[index])] = static_cast<uint8_t>(index);
    return table;
}();

}  // namespace

std::string base64_encode(ByteView bytes) {
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (size_t index = 0; index < bytes.size(); index += 3) {
        const size_t count = std::min<size_t>(3, bytes.size() - index);
        uint32_t group = 0;
        for (size_t offset = 0; offset < 3; ++offset)
            group = group << 8 | (offset < count ? bytes[index + offset] : 0U);
        for (size_t digit = 0; digit < 4; ++digit)
            text.push_back(digit <= count ? kAlphabet[group >> (18 - 6 * digit) & 63] : '=');
    }
    return text;
}

Result<Bytes> base64_decode(std::string_view text) {
    if (text.size() % 4 != 0)
        return fail(ErrorCode::TextMalformed, "a base64 text has a length that is no multiple of 4");
    Bytes bytes;
    bytes.reserve(text.size() / 4 * 3);
    for (size_t index = 0; index < text.size(); index += 4) {
        const bool last = index + 4 == text.size();
        const size_t padding = !last || text[index + 3] != '=' ? 0 : text[index + 2] == '=' ? 2 : 1;
        uint32_t group = 0;
        for (size_t offset = 0; offset < 4; ++offset) {
            const bool padded = offset >= 4 - padding;
            const uint8_t digit = padded ? 0 : kDigits[static_cast<uint8_t>(text[index + offset])];
            if (digit == kNoDigit)
                return fail(ErrorCode::TextMalformed,
                            "no base64 digit at position " + std::to_string(index + offset));
            group = group << 6 | digit;
        }
        const size_t count = 3 - padding;
        if ((group & ((1U << (8 * padding)) - 1)) != 0)
            return fail(ErrorCode::TextMalformed, "a base64 text has bits behind its end");
        for (size_t byte = 0; byte < count; ++byte)
            bytes.push_back(static_cast<uint8_t>(group >> (16 - 8 * byte)));
    }
    return bytes;
}

}  // namespace alcove::codec

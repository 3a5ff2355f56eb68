// SPDX-License-Identifier: Apache-2.0
//
// The ranges of the second byte (RFC 3629, section 4) are what refuses overlong forms and surrogates.
#include "codec/utf8.hpp"

#include <cstddef>
#include <cstdint>

namespace alcove::codec {

namespace {

struct Sequence {
    size_t length;  // 0: no sequence begins with this byte
    uint8_t second_low;
    uint8_t second_high;
};

Sequence sequence_of(uint8_t lead) {
    if (lead < 0x80) return {1, 0, 0};
    if (lead < 0xC2) return {0, 0, 0};
    if (lead < 0xE0) return {2, 0x80, 0xBF};
    if (lead == 0xE0) return {3, 0xA0, 0xBF};
    if (lead == 0xED) return {3, 0x80, 0x9F};
    if (lead < 0xF0) return {3, 0x80, 0xBF};
    if (lead == 0xF0) return {4, 0x90, 0xBF};
    if (lead < 0xF4) return {4, 0x80, 0xBF};
    if (lead == 0xF4) return {4, 0x80, 0x8F};
    return {0, 0, 0};
}

}  // namespace

bool is_utf8(std::string_view text) {
    size_t position = 0;
    while (position < text.size()) {
        const auto byte_at = [&](size_t index) { return static_cast<uint8_t>(text[position + index]); };
        const Sequence sequence = sequence_of(byte_at(0));
        if (sequence.length == 0 || sequence.length > text.size() - position) return false;
        if (sequence.length > 1 && (byte_at(1) < sequence.second_low || byte_at(1) > sequence.second_high))
            return false;
        for (size_t index = 2; index < sequence.length; ++index)
            if ((byte_at(index) & 0xC0) != 0x80) return false;
        position += sequence.length;
    }
    return true;
}

}  // namespace alcove::codec

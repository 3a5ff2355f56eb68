// SPDX-License-Identifier: Apache-2.0
#include "sgx/instruction.hpp"

#include <algorithm>

namespace alcove::sgx {

namespace {

bool is_ignored_prefix(uint8_t byte, bool long_mode_64) {
    switch (byte) {
        case 0x26:  // segments
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0x67:  // address size
            return true;
        default:
            return long_mode_64 && byte >= 0x40 && byte <= 0x4f;  // REX
    }
}

}  // namespace

std::optional<Decoded> decode(ByteView bytes, bool long_mode_64) {
    bytes = bytes.first(std::min(bytes.size(), kMaxInstructionLength));
    size_t prefixes = 0;
    while (prefixes < bytes.size() && is_ignored_prefix(bytes[prefixes], long_mode_64))
        ++prefixes;
    const ByteView opcode = bytes.subspan(prefixes);
    if (opcode.size() < 3 || opcode[0] != 0x0f || opcode[1] != 0x01) return std::nullopt;
    const auto length = static_cast<uint8_t>(prefixes + 3);
    if (opcode[2] == 0xcf) return Decoded{Instruction::ENCLS, length};
    if (opcode[2] == 0xd7) return Decoded{Instruction::ENCLU, length};
    return std::nullopt;
}

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
//
// Is the instruction that raised #UD one of ours? The bytes are the guest's; the answer is ENCLS or ENCLU
// with its length, or that the #UD is genuine.
//
// Source: SDM vol. 3D, "ENCLS", "ENCLU" (opcodes, prefixes); vol. 2A, "Instruction Prefixes".
#pragma once

#include <cstdint>
#include <optional>

#include "support/bytes.hpp"

namespace alcove::sgx {

enum class Instruction : uint8_t { ENCLS, ENCLU };

struct Decoded {
    Instruction instruction;
    uint8_t length;
    bool operator==(const Decoded&) const = default;
};

inline constexpr size_t kMaxInstructionLength = 15;

// `bytes` are those from RIP on, up to 15 of them, fewer where the guest has no more. LOCK, 66, F2 and F3
// make it a #UD; segment, address-size and (in 64-bit mode) REX prefixes are ignored.
std::optional<Decoded> decode(ByteView bytes, bool long_mode_64);

}  // namespace alcove::sgx

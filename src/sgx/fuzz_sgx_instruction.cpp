// SPDX-License-Identifier: Apache-2.0
//
// Bytes at a guest's instruction pointer. What is taken for ENCLS or ENCLU ends in its opcode, within fifteen
// bytes, behind nothing but ignored prefixes; and what follows does not matter. A #GP inside an enclave stays
// one or becomes #UD, or #BP for whoever opted in. The first byte is the mode.
#include <cstdlib>

#include "sgx/illegal_instruction.hpp"
#include "sgx/instruction.hpp"
#include "support/fuzz_input.hpp"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace alcove;
    FuzzInput input({data, size});
    const bool long_mode_64 = (input.byte() & 1) != 0;
    const ByteView bytes = input.take(size);
    const sgx::InstructionRules rules{.debug_opt_in = long_mode_64, .rdtsc = long_mode_64};
    const auto seen = sgx::as_seen_inside(sgx::kGeneralProtection, bytes, rules).exception;
    require(seen == sgx::kGeneralProtection || seen == sgx::kUndefinedOpcode ||
            (seen == sgx::Exception{.vector = sgx::vector::BP} && long_mode_64));
    const auto decoded = sgx::decode(bytes, long_mode_64);
    if (!decoded) return 0;
    require(decoded->length >= 3 && decoded->length <= sgx::kMaxInstructionLength &&
            decoded->length <= bytes.size());
    const ByteView opcode = bytes.subspan(decoded->length - 3, 3);
    require(opcode[0] == 0x0f && opcode[1] == 0x01);
    require(opcode[2] == (decoded->instruction == sgx::Instruction::ENCLS ? 0xcf : 0xd7));
    for (const uint8_t prefix : bytes.first(decoded->length - 3U))
        require(prefix != 0xf0 && prefix != 0x66 && prefix != 0xf2 && prefix != 0xf3 && prefix != 0x0f);
    require(sgx::decode(bytes.first(decoded->length), long_mode_64) == decoded);
    require(sgx::decode(bytes.first(decoded->length - 1U), long_mode_64) == std::nullopt);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "sgx/illegal_instruction.hpp"

#include <algorithm>

#include "sgx/instruction.hpp"

namespace alcove::sgx {

namespace {

constexpr uint8_t kInt3 = 0xcc;

bool is_prefix(uint8_t byte) {
    switch (byte) {
        case 0x26:  // segments
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0x66:  // sizes
        case 0x67:
        case 0xf2:  // repetition
        case 0xf3:
            return true;
        default:
            return byte >= 0x40 && byte <= 0x4f;  // REX
    }
}

constexpr uint8_t reg_of(uint8_t modrm) {
    return modrm >> 3 & 7;
}

constexpr uint8_t kRdtscp = 0xf9;  // behind 0F 01

// Behind 0F.
bool is_illegal_two_byte(ByteView opcode, const InstructionRules& rules) {
    const uint8_t modrm = opcode.size() > 1 ? opcode[1] : uint8_t{0};
    switch (opcode[0]) {
        case 0x00:  // SLDT, STR
            return reg_of(modrm) <= 1;
        case 0x01:  // SGDT, SIDT, SMSW; VMCALL and VMMCALL, of which KVM makes #GP in ring 3 where it is not
                    // the processor's own
            return (modrm < 0xc0 && reg_of(modrm) <= 1) || reg_of(modrm) == 4 || modrm == 0xc1 ||
                   modrm == 0xd9 || (modrm == kRdtscp && !rules.rdtsc);
        case 0x31:  // RDTSC
            return !rules.rdtsc;
        case 0x05:  // SYSCALL
        case 0x33:  // RDPMC
        case 0x34:  // SYSENTER
        case 0xa1:  // POP FS, POP GS
        case 0xa9:
        case 0xa2:  // CPUID
        case 0xb2:  // LSS, LFS, LGS
        case 0xb4:
        case 0xb5:
            return true;
        default:
            return false;
    }
}

bool is_illegal(ByteView opcode, const InstructionRules& rules) {
    if (opcode.empty()) return false;
    const uint8_t modrm = opcode.size() > 1 ? opcode[1] : uint8_t{0};
    switch (opcode[0]) {
        case 0x0f:
            return opcode.size() > 1 && is_illegal_two_byte(opcode.subspan(1), rules);
        case 0x6c:  // INS, OUTS
        case 0x6d:
        case 0x6e:
        case 0x6f:
        case 0xe4:  // IN, OUT
        case 0xe5:
        case 0xe6:
        case 0xe7:
        case 0xec:
        case 0xed:
        case 0xee:
        case 0xef:
        case 0x8e:  // MOV to a segment register
        case 0xca:  // far RET
        case 0xcb:
        case kInt3:
        case 0xcd:  // INT n
        case 0xcf:  // IRET
            return true;
        case 0xff:  // far CALL and JMP
            return reg_of(modrm) == 3 || reg_of(modrm) == 5;
        default:
            return false;
    }
}

}  // namespace

Event as_seen_inside(const Exception& raw, ByteView bytes, const InstructionRules& rules) {
    Event event{.kind = EventKind::Fault, .exception = raw};
    if (raw.vector != vector::GP) return event;
    bytes = bytes.first(std::min(bytes.size(), kMaxInstructionLength));
    const ByteView opcode = bytes.subspan(
        static_cast<size_t>(std::find_if_not(bytes.begin(), bytes.end(), is_prefix) - bytes.begin()));
    if (!is_illegal(opcode, rules)) return event;
    // A debugger that the enclave opted in to sees its breakpoint, as a fault: RIP is that of the INT3.
    const bool breakpoint = opcode[0] == kInt3 && rules.debug_opt_in;
    event.exception = Exception{.vector = breakpoint ? vector::BP : vector::UD};
    return event;
}

}  // namespace alcove::sgx

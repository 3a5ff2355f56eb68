// SPDX-License-Identifier: Apache-2.0
#include "sgx/illegal_instruction.hpp"

#include <gtest/gtest.h>

#include "sgx/enclave_maker.hpp"

namespace alcove::sgx {
namespace {

uint8_t seen(const Bytes& bytes, const InstructionRules& rules = {}) {
    return as_seen_inside(kGeneralProtection, bytes, rules).exception.vector;
}

TEST(IllegalInstruction, IsUndefinedInside) {
    const std::vector<Bytes> illegal{
        {0x0f, 0xa2},              // CPUID
        {0x0f, 0x33},              // RDPMC
        {0x0f, 0x01, 0x00},        // SGDT [RAX]
        {0x0f, 0x01, 0x0c, 0x24},  // SIDT [RSP]
        {0x0f, 0x01, 0xe0},        // SMSW EAX
        {0x0f, 0x01, 0xc1},        // VMCALL
        {0x0f, 0x01, 0xd9},        // VMMCALL
        {0x0f, 0x00, 0xc0},        // SLDT EAX
        {0x48, 0x0f, 0x00, 0xc8},  // STR RAX
        {0xe4, 0x60},              // IN
        {0xee},                    // OUT
        {0xf3, 0x6c},              // REP INSB
        {0x66, 0x6f},              // OUTSW
        {0x0f, 0x34},              // SYSENTER
        {0xcd, 0x80},              // INT 80H
        {0xcc},                    // INT3
        {0x48, 0xcf},              // IRETQ
        {0x48, 0xcb},              // far RET
        {0xff, 0x18},              // far CALL [RAX]
        {0xff, 0x28},              // far JMP [RAX]
        {0x8e, 0xd8},              // MOV DS, EAX
        {0x0f, 0xa1},              // POP FS
        {0x0f, 0xb4, 0x00},        // LFS
    };
    for (const auto& bytes : illegal)
        EXPECT_EQ(seen(bytes), vector::UD) << "opcode " << int{bytes[0]} << " " << int{bytes.back()};
}

TEST(IllegalInstruction, WhatIsMerelyForbiddenStays) {
    const std::vector<Bytes> others{
        {0xf4},              // HLT
        {0x0f, 0x01, 0x10},  // LGDT
        {0x0f, 0x22, 0xc0},  // MOV CR0
        {0x0f, 0x30},        // WRMSR
        {0xff, 0x20},        // JMP [RAX], to no address
        {0x0f, 0x00, 0xd0},  // LLDT
        {0x8b, 0x00},        // MOV EAX, [RAX], of no address
        {},
        {0x66, 0x66},
        {0x0f},
    };
    for (const auto& bytes : others)
        EXPECT_EQ(seen(bytes), vector::GP);
    const Exception fault{vector::PF, 4, 0x1000};
    EXPECT_EQ(as_seen_inside(fault, Bytes{0x0f, 0xa2}, {}), (Event{EventKind::Fault, fault}));
}

TEST(IllegalInstruction, ADebuggerSeesItsBreakpoint) {
    EXPECT_EQ(seen({0xcc}, {.debug_opt_in = true}), vector::BP);
    EXPECT_EQ(seen({0xcd, 0x03}, {.debug_opt_in = true}), vector::UD);
}

TEST(IllegalInstruction, TheTimeIsReadWithSgx2Only) {
    for (const Bytes& bytes : {Bytes{0x0f, 0x31}, Bytes{0x0f, 0x01, 0xf9}}) {
        EXPECT_EQ(seen(bytes, {.rdtsc = true}), vector::GP) << "the kernel's CR4.TSD";
        EXPECT_EQ(seen(bytes, {.rdtsc = false}), vector::UD);
    }
}

}  // namespace
}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
#include "sgx/aex.hpp"

#include "sgx/entry.hpp"
#include "sgx/xsave.hpp"

namespace alcove::sgx {

namespace {

bool is_always_reported(uint8_t number) {
    switch (number) {
        case vector::DE:
        case vector::DB:
        case vector::BP:
        case vector::BR:
        case vector::UD:
        case vector::MF:
        case vector::AC:
        case vector::XM:
            return true;
        default:
            return false;
    }
}

bool needs_exinfo(uint8_t number) {
    return number == vector::PF || number == vector::GP;
}

uint32_t exitinfo_of(const Event& event, bool has_exinfo) {
    if (event.kind == EventKind::Interrupt) return 0;
    const uint8_t number = event.exception.vector;
    if (!is_always_reported(number) && !(needs_exinfo(number) && has_exinfo)) return 0;
    const uint32_t type = number == vector::BP ? exitinfo::kSoftwareException : exitinfo::kHardwareException;
    return exitinfo::VALID | exitinfo::EXIT_TYPE::put(0, type) | exitinfo::VECTOR::put(0, number);
}

EXINFO exinfo_of(const Exception& exception) {
    EXINFO exinfo{};
    exinfo.MADDR = exception.vector == vector::PF ? exception.address : 0;
    exinfo.ERRCD = exception.error_code;
    return exinfo;
}

// The general registers; URSP and URBP are there already.
void store(GPRSGX& gpr, const Registers& regs, const Event& event, bool has_exinfo) {
    gpr.RAX = regs.rax;
    gpr.RCX = regs.rcx;
    gpr.RDX = regs.rdx;
    gpr.RBX = regs.rbx;
    gpr.RSP = regs.rsp;
    gpr.RBP = regs.rbp;
    gpr.RSI = regs.rsi;
    gpr.RDI = regs.rdi;
    std::copy(regs.r8_r15.begin(), regs.r8_r15.end(), gpr.R8_R15.begin());
    gpr.RIP = regs.rip;
    gpr.RFLAGS = (regs.rflags & ~rflags::TF) | (event.kind == EventKind::Fault ? rflags::RF : 0);
    gpr.EXITINFO = exitinfo_of(event, has_exinfo);
    gpr.RESERVED = {};
    gpr.FSBASE = regs.fs.base;
    gpr.GSBASE = regs.gs.base;
}

Registers synthetic(const Registers& regs, const Inside& inside, const GPRSGX& gpr) {
    Registers outside{};
    outside.rax = static_cast<uint64_t>(Enclu::ERESUME);
    outside.rbx = inside.tcs_address;
    outside.rcx = inside.aep;
    outside.rip = inside.aep;
    outside.rsp = gpr.URSP;
    outside.rbp = gpr.URBP;
    outside.rflags = regs.rflags & ~(rflags::kArithmetic | rflags::RF);
    return outside;
}

}  // namespace

Outcome<Event> asynchronous_exit(Call& call, const Event& event) {
    const Inside inside = call.inside();
    const uint64_t xfrm = inside.attributes.XFRM;
    const bool has_exinfo = (inside.miscselect & miscselect::EXINFO) != 0;
    const auto tcs = TRY_LEAF(call.pin(inside.tcs));
    const auto first = TRY_LEAF(call.pin(inside.frame.first));
    const auto last = TRY_LEAF(call.pin(inside.frame.last));
    const auto now = TRY_LEAF(outcome_of(call.cpu().xsave()));
    const uint8_t number = event.kind == EventKind::Interrupt ? uint8_t{0} : event.exception.vector;
    TRY_LEAF(outcome_of(call.cpu().set_xsave(xsave::after_exit(now, xfrm, call.features(), number))));

    const XsaveArea area = xsave::saved(now, xfrm, call.features());
    first.write(0, ByteView(area).first(call.features().xsave_size(xfrm)));
    constexpr uint64_t kGpr = kPageSize - sizeof(GPRSGX);
    auto gpr = last.read<GPRSGX>(kGpr);
    store(gpr, call.registers(), event, has_exinfo);
    last.write(kGpr, gpr);
    if (has_exinfo && event.kind != EventKind::Interrupt && needs_exinfo(event.exception.vector))
        last.write(kGpr - sizeof(EXINFO), exinfo_of(event.exception));

    call.registers() = synthetic(call.registers(), inside, gpr);
    const uint32_t cssa = tcs.read<Le32>(offsetof(TCS, CSSA));
    tcs.write(offsetof(TCS, CSSA), Le32(cssa + 1));
    call.epcm().with([&](EpcmState& state) { ++state.enclave(inside.world.secs)->asynchronous_exits; });
    leave_enclave(call, tcs);

    Event delivered = event;
    if (delivered.exception.vector == vector::PF)
        delivered.exception.address = align_down(delivered.exception.address, kPageSize);
    return delivered;
}

}  // namespace alcove::sgx

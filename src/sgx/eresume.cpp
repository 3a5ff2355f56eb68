// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "ERESUME": goes on where an asynchronous exit interrupted. The frame that is taken up is the
// one that the next such exit fills again.
#include "sgx/entry.hpp"
#include "sgx/xsave.hpp"

namespace alcove::sgx {

namespace {

// What comes from the frame; the rest stays as it is.
constexpr uint64_t kRestoredFlags = rflags::CF | rflags::PF | rflags::AF | rflags::ZF | rflags::SF |
                                    rflags::TF | rflags::DF | rflags::OF | rflags::NT | rflags::RF |
                                    rflags::AC | rflags::ID;

uint64_t restored_flags(uint64_t now, uint64_t saved, bool debug_opt_in) {
    uint64_t restored = kRestoredFlags;
    if (rflags::IOPL::get(now) == 3) restored |= rflags::IF;
    uint64_t flags = (now & ~restored) | (saved & restored);
    if (!debug_opt_in) flags &= ~rflags::TF;
    return flags & ~rflags::VM;
}

void load(Registers& regs, const GPRSGX& gpr, bool debug_opt_in) {
    regs.rax = gpr.RAX;
    regs.rcx = gpr.RCX;
    regs.rdx = gpr.RDX;
    regs.rbx = gpr.RBX;
    regs.rsp = gpr.RSP;
    regs.rbp = gpr.RBP;
    regs.rsi = gpr.RSI;
    regs.rdi = gpr.RDI;
    std::copy(gpr.R8_R15.begin(), gpr.R8_R15.end(), regs.r8_r15.begin());
    regs.rip = gpr.RIP;
    regs.rflags = restored_flags(regs.rflags, gpr.RFLAGS, debug_opt_in);
    regs.fs = enclave_segment(gpr.FSBASE);
    regs.gs = enclave_segment(gpr.GSBASE);
}

}  // namespace

Outcome<void> eresume(Call& call) {
    auto& regs = call.registers();
    auto entering = TRY_LEAF(Entering::begin(call));
    const TCS& tcs = entering.tcs();
    TRY_LEAF(entering.check_mode());
    TRY_LEAF(require(tcs.CSSA != 0));
    const uint32_t cssa = tcs.CSSA - 1;
    const auto frame = TRY_LEAF(entering.find_frame(cssa));
    const auto first = TRY_LEAF(call.pin(frame.first));
    const auto last = TRY_LEAF(call.pin(frame.last));
    TRY_LEAF(entering.activate());

    const auto gpr = last.read<GPRSGX>(kPageSize - sizeof(GPRSGX));
    TRY_LEAF(require(is_canonical(gpr.RIP) && is_canonical(gpr.FSBASE) && is_canonical(gpr.GSBASE)));
    const uint64_t xfrm = entering.inside().attributes.XFRM;
    XsaveArea area{};
    first.read(0, MutableByteView(area).first(call.features().xsave_size(xfrm)));
    XsaveHead head;
    std::memcpy(&head, area.data(), sizeof head);
    TRY_LEAF(require(xsave::is_restorable(head, xfrm)));
    const auto now = TRY_LEAF(outcome_of(call.cpu().xsave()));
    TRY_LEAF(outcome_of(call.cpu().set_xsave(xsave::restored(now, area, xfrm, call.features()))));

    entering.complete(frame, cssa);
    load(regs, gpr, call.inside().debug_opt_in);
    return {};
}

}  // namespace alcove::sgx

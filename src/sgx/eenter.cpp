// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EENTER": goes into an enclave at the entry point that its TCS names.
#include "sgx/entry.hpp"

namespace alcove::sgx {

Outcome<void> eenter(Call& call) {
    auto& regs = call.registers();
    auto entering = TRY_LEAF(Entering::begin(call));
    const TCS& tcs = entering.tcs();
    TRY_LEAF(entering.check_mode());
    const uint32_t cssa = tcs.CSSA;
    TRY_LEAF(require(cssa < tcs.NSSA));
    const auto frame = TRY_LEAF(entering.find_frame(cssa));

    const uint64_t base = entering.inside().world.base;
    const uint64_t target = base + tcs.OENTRY;
    const uint64_t fs_base = base + tcs.OFSBASE;
    const uint64_t gs_base = base + tcs.OGSBASE;
    TRY_LEAF(require(is_canonical(target) && is_canonical(fs_base) && is_canonical(gs_base)));
    const auto last = TRY_LEAF(call.pin(frame.last));
    TRY_LEAF(entering.activate());

    const uint64_t gpr = kPageSize - sizeof(GPRSGX);
    last.write(gpr + offsetof(GPRSGX, URSP), Le64(regs.rsp));
    last.write(gpr + offsetof(GPRSGX, URBP), Le64(regs.rbp));
    entering.complete(frame, cssa);
    regs.rcx = regs.rip + call.cpu().instruction_length();
    regs.rip = target;
    regs.rax = cssa;
    regs.fs = enclave_segment(fs_base);
    regs.gs = enclave_segment(gs_base);
    if (!call.inside().debug_opt_in) regs.rflags &= ~rflags::TF;
    return {};
}

}  // namespace alcove::sgx

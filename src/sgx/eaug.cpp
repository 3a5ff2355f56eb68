// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EAUG": gives a running enclave a page of zeros, which it has to accept.
#include "sgx/leaves.hpp"

namespace alcove::sgx {

Outcome<void> eaug(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, PAGEINFO::kAlignment) && is_aligned(regs.rcx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));

    const auto info = TRY_LEAF(call.read<PAGEINFO>(regs.rbx));
    TRY_LEAF(require(is_aligned<uint64_t>(info.SECS, kPageSize) &&
                     is_aligned<uint64_t>(info.LINADDR, kPageSize) && info.SRCPGE == 0));
    TRY_LEAF(require(info.SECINFO == 0));  // others are for shadow stacks
    const auto secs = TRY_LEAF(call.epc_page(info.SECS, Access::Write));

    const auto hold = TRY_LEAF(call.claim_free(page, regs.rcx));
    const auto secs_hold = TRY_LEAF(call.hold(secs, Latch::Shared));
    const Enclave* enclave = TRY_LEAF(call.enclave(secs, info.SECS, Access::Write));
    const bool initialized = call.epcm().with([&](EpcmState&) { return enclave->is_initialized(); });
    TRY_LEAF(require(initialized));
    TRY_LEAF(require(enclave->contains(info.LINADDR)));

    const auto pinned = TRY_LEAF(call.pin(page));
    pinned.zero();
    call.epcm().with([&](EpcmState& state) {
        state.add_child(
            page, Entry{.VALID = true,
                        .flags = secinfo::R | secinfo::W | secinfo::PENDING | secinfo::pt(PageType::REG),
                        .ENCLAVESECS = secs,
                        .ENCLAVEADDRESS = info.LINADDR});
    });
    call.works_for(secs);
    return {};
}

}  // namespace alcove::sgx

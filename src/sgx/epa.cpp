// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EPA": makes a page of empty version slots.
#include "sgx/leaves.hpp"

namespace alcove::sgx {

Outcome<void> epa(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(regs.rbx == static_cast<uint64_t>(PageType::VA) && is_aligned(regs.rcx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));
    const auto hold = TRY_LEAF(call.claim_free(page, regs.rcx));
    call.store().discard(page);  // zeros, which take no memory before a version is put in
    call.epcm().with([&](EpcmState& state) {
        state.entry(page) = Entry{.VALID = true, .flags = secinfo::pt(PageType::VA), .vacant = true};
    });
    return {};
}

}  // namespace alcove::sgx

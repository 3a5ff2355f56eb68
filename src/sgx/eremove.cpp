// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EREMOVE": frees a page. The architecture only makes its contents unreachable; here they go.
#include "sgx/leaves.hpp"

namespace alcove::sgx {

namespace {

// Whether there was anything to remove.
Outcome<bool> invalidate(Call& call, EpcmState& state, PageIndex page) {
    const Entry& entry = state.entry(page);
    if (!entry.VALID) return false;
    if (entry.is_child()) call.works_for(entry.ENCLAVESECS);
    const bool free_to_go =
        entry.type() == PageType::VA || (entry.type() == PageType::TRIM && !entry.is(secinfo::MODIFIED));
    if (entry.type() == PageType::SECS) {
        if (state.enclave(page)->children != 0) return Status{StatusCode::CHILD_PRESENT};
    } else if (!free_to_go && !state.enclave_of(entry).occupants.empty()) {
        return Status{StatusCode::ENCLAVE_ACT};
    }
    state.invalidate(page);
    return true;
}

}  // namespace

Outcome<void> eremove(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rcx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));
    const auto hold = TRY_LEAF(call.hold(page, Latch::Exclusive));
    const bool was_valid =
        TRY_LEAF(call.epcm().with([&](EpcmState& state) { return invalidate(call, state, page); }));
    if (was_valid) call.store().discard(page);  // nobody else can have it: we hold the page
    return {};
}

}  // namespace alcove::sgx

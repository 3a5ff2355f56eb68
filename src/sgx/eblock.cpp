// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EBLOCK": no new translations of this page, which is to be evicted. ENTRYEPOCH_LOCKED never
// comes: ETRACK is one step here.
#include "sgx/leaves.hpp"

namespace alcove::sgx {

namespace {
using enum StatusCode;
}

Outcome<void> eblock(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rcx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));
    const auto hold = TRY_LEAF(call.hold_or(page, Latch::Shared, Status{EPC_PAGE_CONFLICT}));
    return call.epcm().with([&](EpcmState& state) -> Outcome<void> {
        Entry& entry = state.entry(page);
        if (!entry.VALID) return Status{PG_INVLD};
        if (entry.type() == PageType::SECS) return Status{PG_IS_SECS, StatusFlag::CF};
        if (entry.type() == PageType::VA) return Status{NOTBLOCKABLE, StatusFlag::CF};
        call.works_for(entry.ENCLAVESECS);
        if (entry.BLOCKED) return Status{BLKSTATE, StatusFlag::CF};
        entry.BLOCKED = true;
        entry.mark = state.enclave_of(entry).epoch;
        return {};
    });
}

}  // namespace alcove::sgx

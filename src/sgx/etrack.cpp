// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "ETRACK": from here on it is counted who has left since. The count is an epoch: a processor
// inside carries the epoch in which it entered (epcm.hpp, is_tracked()).
#include <algorithm>

#include "sgx/leaves.hpp"

namespace alcove::sgx {

Outcome<void> etrack(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rcx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));
    const auto hold = TRY_LEAF(call.hold(page, Latch::Shared));
    return call.epcm().with([&](EpcmState& state) -> Outcome<void> {
        Enclave* enclave = state.enclave(page);
        if (enclave == nullptr) return call.epcm_fault(regs.rcx, Access::Write);
        call.works_for(page);
        const bool unfinished =
            std::any_of(enclave->occupants.begin(), enclave->occupants.end(),
                        [&](const Occupant& occupant) { return occupant.entry_epoch < enclave->epoch; });
        if (unfinished) return Status{StatusCode::PREV_TRK_INCMPL};
        ++enclave->epoch;
        return {};
    });
}

}  // namespace alcove::sgx

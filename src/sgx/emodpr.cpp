// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EMODPR": takes rights away. PAGE_NOT_MODIFIABLE comes before the page's type is looked at:
// Linux probes pages of type TRIM with this leaf, and tells by the answer whether they were accepted.
#include "sgx/leaves.hpp"
#include "sgx/reserved.hpp"

namespace alcove::sgx {

Outcome<void> emodpr(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, SECINFO::kAlignment) && is_aligned(regs.rcx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));
    const auto secinfo = TRY_LEAF(call.read<SECINFO>(regs.rbx));
    TRY_LEAF(require(!has_reserved(secinfo) && !is_write_only(secinfo.FLAGS)));

    const auto hold =
        TRY_LEAF(call.hold_or(page, Latch::Shared | Latch::Modify, Status{StatusCode::EPC_PAGE_CONFLICT}));
    return call.epcm().with([&](EpcmState& state) -> Outcome<void> {
        Entry& entry = state.entry(page);
        if (!entry.VALID) return call.epcm_fault(regs.rcx, Access::Write);
        if (entry.is_any(secinfo::PENDING | secinfo::MODIFIED))
            return Status{StatusCode::PAGE_NOT_MODIFIABLE};
        if (entry.type() != PageType::REG) return call.epcm_fault(regs.rcx, Access::Write);
        call.works_for(entry.ENCLAVESECS);
        const Enclave& enclave = state.enclave_of(entry);
        TRY_LEAF(require(enclave.is_initialized()));
        entry.flags &= ~secinfo::kRights | secinfo.FLAGS;
        entry.flags |= secinfo::PR;
        entry.mark = enclave.epoch;
        return {};
    });
}

}  // namespace alcove::sgx

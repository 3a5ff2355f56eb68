// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EMODT": makes a page a TCS, or one that is going to be removed. The enclave has to accept it.
#include "sgx/leaves.hpp"
#include "sgx/reserved.hpp"

namespace alcove::sgx {

Outcome<void> emodt(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, SECINFO::kAlignment) && is_aligned(regs.rcx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));
    const auto secinfo = TRY_LEAF(call.read<SECINFO>(regs.rbx));
    const PageType type = page_type(secinfo);
    TRY_LEAF(require(!has_reserved(secinfo) && (type == PageType::TCS || type == PageType::TRIM)));

    const auto hold =
        TRY_LEAF(call.hold_or(page, Latch::Exclusive | Latch::Modify, Status{StatusCode::EPC_PAGE_CONFLICT}));
    return call.epcm().with([&](EpcmState& state) -> Outcome<void> {
        Entry& entry = state.entry(page);
        const bool convertible =
            entry.type() == PageType::REG || (entry.type() == PageType::TCS && type == PageType::TRIM);
        if (!entry.VALID || !convertible) return call.epcm_fault(regs.rcx, Access::Write);
        if (entry.is_any(secinfo::PENDING | secinfo::MODIFIED))
            return Status{StatusCode::PAGE_NOT_MODIFIABLE};
        call.works_for(entry.ENCLAVESECS);
        const Enclave& enclave = state.enclave_of(entry);
        TRY_LEAF(require(enclave.is_initialized()));
        entry.flags = secinfo::MODIFIED | secinfo::pt(type);
        entry.mark = enclave.epoch;
        return {};
    });
}

}  // namespace alcove::sgx

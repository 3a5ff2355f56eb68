// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EMODPE": the enclave gives itself more rights to one of its pages.
#include "sgx/leaves.hpp"
#include "sgx/reserved.hpp"

namespace alcove::sgx {

Outcome<void> emodpe(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, SECINFO::kAlignment) && is_aligned(regs.rcx, kPageSize)));
    TRY_LEAF(call.require_in_enclave(regs.rcx));
    const auto secinfo = TRY_LEAF(call.read_enclave<SECINFO>(regs.rbx));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Read));
    TRY_LEAF(require(!has_reserved(secinfo)));

    const auto hold = TRY_LEAF(call.hold(page, Latch::Modify));
    return call.epcm().with([&](EpcmState& state) -> Outcome<void> {
        Entry& entry = state.entry(page);
        // As for direct access, whatever rights there are.
        const bool usable = entry.is_child() && entry.type() == PageType::REG && !entry.BLOCKED &&
                            !entry.is_any(secinfo::PENDING | secinfo::MODIFIED) &&
                            entry.ENCLAVESECS == call.inside().world.secs && entry.ENCLAVEADDRESS == regs.rcx;
        if (!usable) return call.epcm_fault(regs.rcx, Access::Read);
        const uint64_t extended = entry.flags | (secinfo.FLAGS & secinfo::kRights);
        TRY_LEAF(require(!is_write_only(extended)));
        entry.flags = extended;
        return {};
    });
}

}  // namespace alcove::sgx

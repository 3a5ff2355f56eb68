// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EACCEPT": the enclave agrees to what EAUG, EMODPR or EMODT did to one of its pages.
#include "sgx/leaves.hpp"
#include "sgx/reserved.hpp"

namespace alcove::sgx {

namespace {

using enum StatusCode;

bool is_legal_request(const SECINFO& secinfo) {
    const uint64_t states = secinfo.FLAGS & secinfo::kStates;
    switch (page_type(secinfo)) {
        case PageType::REG:
            return (states & secinfo::MODIFIED) == 0 && states != 0;
        case PageType::TCS:
        case PageType::TRIM:
            return states == secinfo::MODIFIED;
        default:
            return false;
    }
}

bool is_fresh_tcs(const TCS& tcs) {
    return tcs.STATE == 0 && tcs.FLAGS == 0 && tcs.AEP == 0 && all_zero(tcs.RESERVED) && tcs.CSSA < tcs.NSSA;
}

// PR is not among the compared.
constexpr uint64_t kCompared = secinfo::kRights | secinfo::PENDING | secinfo::MODIFIED | secinfo::PT::kMask;

}  // namespace

Outcome<void> eaccept(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, SECINFO::kAlignment)));
    const auto secinfo = TRY_LEAF(call.read_enclave<SECINFO>(regs.rbx));
    TRY_LEAF(require(!has_reserved(secinfo)));
    TRY_LEAF(require(is_aligned(regs.rcx, kPageSize)));
    TRY_LEAF(call.require_in_enclave(regs.rcx));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Read));
    TRY_LEAF(require(is_legal_request(secinfo)));

    const auto hold = TRY_LEAF(call.hold(page, Latch::Shared | Latch::Modify));
    const PageIndex secs = call.inside().world.secs;
    const auto check = [&](EpcmState& state) -> Outcome<void> {
        const Entry& entry = state.entry(page);
        if (!entry.is_child() || entry.BLOCKED || entry.ENCLAVESECS != secs)
            return call.epcm_fault(regs.rcx, Access::Read);
        if (entry.ENCLAVEADDRESS != regs.rcx || (entry.flags & kCompared) != (secinfo.FLAGS & kCompared))
            return Status{PAGE_ATTRIBUTES_MISMATCH};
        if (entry.is_any(secinfo::PR | secinfo::MODIFIED) && !state.is_tracked(entry))
            return Status{NOT_TRACKED};
        return {};
    };
    TRY_LEAF(call.epcm().with(check));
    if (page_type(secinfo) == PageType::TCS) {
        const auto pinned = TRY_LEAF(call.pin(page));
        TRY_LEAF(require(is_fresh_tcs(pinned.read<TCS>(0))));
    }
    return call.epcm().with([&](EpcmState& state) -> Outcome<void> {
        TRY_LEAF(check(state));  // EBLOCK may have come between
        state.entry(page).flags &= ~secinfo::kStates;
        return {};
    });
}

}  // namespace alcove::sgx

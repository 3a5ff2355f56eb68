// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EADD": adds a page to an enclave that is being built, and measures its place and rights.
#include "sgx/leaves.hpp"
#include "sgx/measurement.hpp"
#include "sgx/reserved.hpp"

namespace alcove::sgx {

namespace {

bool is_acceptable_tcs(const PageBytes& contents) {
    const auto tcs = std::bit_cast<TCS>(contents);
    return (tcs.FLAGS & ~TCS::DBGOPTIN) == 0 && all_zero(tcs.RESERVED);
}

void reset_tcs(PageBytes& contents) {
    auto tcs = std::bit_cast<TCS>(contents);
    tcs.FLAGS = tcs.FLAGS & ~TCS::DBGOPTIN;
    tcs.CSSA = 0;
    tcs.AEP = 0;
    tcs.STATE = 0;
    contents = std::bit_cast<PageBytes>(tcs);
}

}  // namespace

Outcome<void> eadd(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, PAGEINFO::kAlignment) && is_aligned(regs.rcx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));

    const auto info = TRY_LEAF(call.read<PAGEINFO>(regs.rbx));
    TRY_LEAF(require(is_aligned<uint64_t>(info.SRCPGE, kPageSize) &&
                     is_aligned<uint64_t>(info.SECS, kPageSize) &&
                     is_aligned<uint64_t>(info.SECINFO, SECINFO::kAlignment) &&
                     is_aligned<uint64_t>(info.LINADDR, kPageSize)));
    const auto secs = TRY_LEAF(call.epc_page(info.SECS, Access::Write));
    auto secinfo = TRY_LEAF(call.read<SECINFO>(info.SECINFO));
    const PageType type = page_type(secinfo);
    TRY_LEAF(require(!has_reserved(secinfo) && (secinfo.FLAGS & secinfo::kStates) == 0 &&
                     (type == PageType::REG || type == PageType::TCS)));

    const auto hold = TRY_LEAF(call.claim_free(page, regs.rcx));
    const auto secs_hold = TRY_LEAF(call.hold(secs, Latch::Shared | Latch::Build));
    Enclave* enclave = TRY_LEAF(call.enclave(secs, info.SECS, Access::Write));

    auto contents = TRY_LEAF(call.read<PageBytes>(info.SRCPGE));
    if (type == PageType::TCS) {
        TRY_LEAF(require(is_acceptable_tcs(contents)));
        reset_tcs(contents);
        secinfo.FLAGS = secinfo::pt(PageType::TCS);
    } else {
        TRY_LEAF(require(!is_write_only(secinfo.FLAGS)));
    }
    TRY_LEAF(require(enclave->contains(info.LINADDR)));
    TRY_LEAF(require(!enclave->is_initialized()));  // only EINIT makes it so, which Latch::Build keeps out

    const auto pinned = TRY_LEAF(call.pin(page));
    pinned.write(0, contents);
    measure_eadd(enclave->measurement, info.LINADDR - enclave->secs.BASEADDR, secinfo);
    call.epcm().with([&](EpcmState& state) {
        state.add_child(
            page,
            Entry{
                .VALID = true, .flags = secinfo.FLAGS, .ENCLAVESECS = secs, .ENCLAVEADDRESS = info.LINADDR});
    });
    call.works_for(secs);
    return {};
}

}  // namespace alcove::sgx

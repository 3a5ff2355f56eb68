// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EACCEPTCOPY": the enclave accepts a new page and fills it with a copy of another of its own.
#include "sgx/leaves.hpp"
#include "sgx/reserved.hpp"

namespace alcove::sgx {

Outcome<void> eacceptcopy(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, SECINFO::kAlignment) && is_aligned(regs.rcx, kPageSize) &&
                     is_aligned(regs.rdx, kPageSize)));
    TRY_LEAF(call.require_in_enclave(regs.rcx));
    TRY_LEAF(call.require_in_enclave(regs.rdx));
    const auto secinfo = TRY_LEAF(call.read_enclave<SECINFO>(regs.rbx));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));
    const auto source = TRY_LEAF(call.epc_page(regs.rdx, Access::Read));
    TRY_LEAF(require(!has_reserved(secinfo) && page_type(secinfo) == PageType::REG &&
                     !is_write_only(secinfo.FLAGS)));

    const auto hold = TRY_LEAF(call.hold(page, Latch::Modify));
    TRY_LEAF(call.check_direct(source, regs.rdx, Access::Read));
    const auto check = [&](EpcmState& state) -> Outcome<void> {
        const Entry& entry = state.entry(page);
        constexpr uint64_t kNew = secinfo::R | secinfo::W | secinfo::PENDING | secinfo::pt(PageType::REG);
        if (!entry.VALID || entry.BLOCKED || (entry.flags & ~secinfo::PR) != kNew ||
            entry.ENCLAVESECS != call.inside().world.secs || entry.ENCLAVEADDRESS != regs.rcx)
            return Status{StatusCode::PAGE_ATTRIBUTES_MISMATCH};
        return {};
    };
    TRY_LEAF(call.epcm().with(check));

    const auto from = TRY_LEAF(call.pin(source));
    const auto to = TRY_LEAF(call.pin(page));
    to.write(0, from.read<PageBytes>(0));
    return call.epcm().with([&](EpcmState& state) -> Outcome<void> {
        TRY_LEAF(check(state));  // EBLOCK may have come between
        Entry& entry = state.entry(page);
        entry.flags = (secinfo.FLAGS & secinfo::kRights) | secinfo::pt(PageType::REG);
        return {};
    });
}

}  // namespace alcove::sgx

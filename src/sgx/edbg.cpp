// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EDBGRD" and "EDBGWR": a debugger's way into enclaves that allow it, eight bytes at a time.
#include "sgx/leaves.hpp"

namespace alcove::sgx {

namespace {

struct DebugPage {
    Hold hold;
    PageIndex page;
    Entry entry;
};

Outcome<DebugPage> debug_page(Call& call, Access access) {
    const uint64_t address = call.registers().rcx;
    TRY_LEAF(require(is_aligned<uint64_t>(address, sizeof(uint64_t))));
    const auto page = TRY_LEAF(call.epc_page(address, access));
    auto hold = TRY_LEAF(call.hold(page, Latch::Shared));
    const auto entry = call.epcm().with([&](EpcmState& state) { return state.entry(page); });
    const bool has_data = entry.type() == PageType::REG || entry.type() == PageType::TCS ||
                          (entry.type() == PageType::VA && access == Access::Read);
    if (!entry.VALID || !has_data) return call.epcm_fault(address, access);
    if (entry.is_child()) call.works_for(entry.ENCLAVESECS);
    return DebugPage{std::move(hold), page, entry};
}

Outcome<void> require_debuggable(Call& call, const Entry& entry) {
    if (entry.is_any(secinfo::PENDING | secinfo::MODIFIED)) return Status{StatusCode::PAGE_NOT_DEBUGGABLE};
    return require(call.epcm().with([&](EpcmState& state) { return state.enclave_of(entry).is_debug(); }));
}

}  // namespace

Outcome<void> edbgrd(Call& call) {
    auto& regs = call.registers();
    const auto target = TRY_LEAF(debug_page(call, Access::Read));
    const uint64_t offset = regs.rcx % kPageSize;
    if (target.entry.type() != PageType::VA) {
        TRY_LEAF(require_debuggable(call, target.entry));
        TRY_LEAF(require(target.entry.type() != PageType::TCS || offset < TCS::kEnd));
    }
    const auto pinned = TRY_LEAF(call.pin(target.page));
    const uint64_t value = pinned.read<Le64>(offset);
    // Of a version only whether there is one.
    regs.rbx = target.entry.type() != PageType::VA ? value : value == 0 ? 0 : ~uint64_t{0};
    return {};
}

Outcome<void> edbgwr(Call& call) {
    const auto& regs = call.registers();
    const auto target = TRY_LEAF(debug_page(call, Access::Write));
    const uint64_t offset = regs.rcx % kPageSize;
    TRY_LEAF(require_debuggable(call, target.entry));
    TRY_LEAF(require(target.entry.type() != PageType::TCS || offset == offsetof(TCS, FLAGS)));
    const auto pinned = TRY_LEAF(call.pin(target.page));
    pinned.write(offset, Le64(regs.rbx));
    return {};
}

}  // namespace alcove::sgx

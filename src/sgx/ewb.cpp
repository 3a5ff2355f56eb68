// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EWB": evicts a page. The sealed page and what goes with it are written to the guest's memory
// before anything changes in the EPC: if a write faults, the guest has a page whose version no slot holds.
#include "sgx/leaves.hpp"
#include "sgx/reserved.hpp"
#include "sgx/sealed_secs.hpp"

namespace alcove::sgx {

namespace {

using enum StatusCode;

struct Victim {
    Entry entry;
    uint64_t eid = 0;  // of the enclave, 0 for a VA page
};

Outcome<Victim> check_evictable(EpcmState& state, PageIndex page, const Exception& invalid) {
    const Entry& entry = state.entry(page);
    if (!entry.VALID) return invalid;
    if (entry.type() == PageType::VA) return Victim{.entry = entry};
    if (entry.type() == PageType::SECS) {
        const Enclave* enclave = state.enclave(page);
        if (enclave->children != 0) return Status{CHILD_PRESENT};
        return Victim{.entry = entry, .eid = enclave->eid};
    }
    if (!entry.BLOCKED) return Status{PAGE_NOT_BLOCKED};
    if (!state.is_tracked(entry)) return Status{NOT_TRACKED};
    return Victim{.entry = entry, .eid = state.enclave_of(entry).eid};
}

Outcome<PageBytes> contents_of(Call& call, PageIndex page, const Entry& entry) {
    if (entry.type() == PageType::SECS)
        return call.epcm().with([&](EpcmState& state) { return to_page(*state.enclave(page)); });
    const auto pinned = TRY_LEAF(call.pin(page));
    return pinned.read<PageBytes>(0);
}

}  // namespace

Outcome<void> ewb(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, PAGEINFO::kAlignment) && is_aligned(regs.rcx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));
    TRY_LEAF(require(is_aligned(regs.rdx, kVaSlotSize)));
    const auto va = TRY_LEAF(call.epc_page(regs.rdx, Access::Write));
    TRY_LEAF(require(page != va));

    auto info = TRY_LEAF(call.read<PAGEINFO>(regs.rbx));
    TRY_LEAF(require(info.LINADDR == 0 && info.SECS == 0));
    TRY_LEAF(require(is_aligned<uint64_t>(info.SECINFO, PCMD::kAlignment) &&
                     is_aligned<uint64_t>(info.SRCPGE, kPageSize)));

    const auto hold = TRY_LEAF(call.hold(page, Latch::Exclusive));
    const auto va_hold = TRY_LEAF(call.hold(va, Latch::Shared));
    const auto victim = TRY_LEAF(call.epcm().with([&](EpcmState& state) -> Outcome<Victim> {
        if (!state.entry(page).VALID) return call.epcm_fault(regs.rcx, Access::Write);
        const Entry& slots = state.entry(va);
        if (!slots.VALID || slots.type() != PageType::VA) return call.epcm_fault(regs.rdx, Access::Write);
        return check_evictable(state, page, call.epcm_fault(regs.rcx, Access::Write));
    }));

    if (victim.entry.is_child()) call.works_for(victim.entry.ENCLAVESECS);
    SealedHeader header{};
    header.SECINFO.FLAGS = victim.entry.flags;
    const bool is_child = victim.entry.is_child();
    header.EID = is_child ? victim.eid : 0;
    header.LINADDR = victim.entry.ENCLAVEADDRESS;
    const auto plain = TRY_LEAF(contents_of(call, page, victim.entry));
    PageBytes cipher;
    const auto sealed = call.sealer().seal(header, plain, cipher);
    PCMD pcmd{};
    pcmd.SECINFO = header.SECINFO;
    pcmd.ENCLAVEID = victim.eid;
    pcmd.MAC = sealed.mac;
    info.LINADDR = victim.entry.ENCLAVEADDRESS;
    TRY_LEAF(call.write(info.SRCPGE, cipher));
    TRY_LEAF(call.write(info.SECINFO, pcmd));
    TRY_LEAF(call.write(regs.rbx, info));

    const auto slots = TRY_LEAF(call.pin(va));
    const bool occupied = call.epcm().with([&](EpcmState& state) {
        const uint64_t slot = regs.rdx % kPageSize;
        const bool was_occupied = slots.read<Le64>(slot) != 0;
        slots.write(slot, Le64(sealed.version));
        state.entry(va).vacant = false;
        state.invalidate(page);
        return was_occupied;
    });
    call.store().discard(page);
    if (occupied) return Status{VA_SLOT_OCCUPIED, StatusFlag::CF};
    return {};
}

}  // namespace alcove::sgx

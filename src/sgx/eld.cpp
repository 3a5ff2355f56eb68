// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "ELDB/ELDU": brings an evicted page back, blocked or not. The version leaves its slot in the
// same step in which the page becomes valid, so of two processors that load it one succeeds.
#include "sgx/leaves.hpp"
#include "sgx/reserved.hpp"
#include "sgx/sealed_secs.hpp"

namespace alcove::sgx {

namespace {

bool belongs_to_enclave(const SECINFO& secinfo) {
    const PageType type = page_type(secinfo);
    return type == PageType::REG || type == PageType::TCS || type == PageType::TRIM;
}

Outcome<void> load(Call& call, bool blocked) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, PAGEINFO::kAlignment) && is_aligned(regs.rcx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));
    TRY_LEAF(require(is_aligned(regs.rdx, kVaSlotSize)));
    const auto va = TRY_LEAF(call.epc_page(regs.rdx, Access::Write));

    const auto info = TRY_LEAF(call.read<PAGEINFO>(regs.rbx));
    TRY_LEAF(require(is_aligned<uint64_t>(info.SECINFO, PCMD::kAlignment) &&
                     is_aligned<uint64_t>(info.SRCPGE, kPageSize)));
    const auto hold = TRY_LEAF(call.claim_free(page, regs.rcx));
    const auto va_hold = TRY_LEAF(call.hold(va, Latch::Shared));
    const auto slots_entry = call.epcm().with([&](EpcmState& state) { return state.entry(va); });
    if (!slots_entry.VALID || slots_entry.type() != PageType::VA)
        return call.epcm_fault(regs.rdx, Access::Write);

    const auto pcmd = TRY_LEAF(call.read<PCMD>(info.SECINFO));
    SealedHeader header{};
    header.SECINFO = pcmd.SECINFO;
    header.LINADDR = info.LINADDR;
    header.RESERVED = pcmd.RESERVED;
    const bool is_child = belongs_to_enclave(pcmd.SECINFO);
    PageIndex secs{};
    std::optional<Hold> secs_hold;
    if (is_child) {
        TRY_LEAF(require(is_aligned<uint64_t>(info.SECS, kPageSize)));
        secs = TRY_LEAF(call.epc_page(info.SECS, Access::Write));
        auto held = TRY_LEAF(call.hold(secs, Latch::Shared));
        secs_hold.emplace(std::move(held));
        const Enclave* enclave = TRY_LEAF(call.enclave(secs, info.SECS, Access::Write));
        header.EID = enclave->eid;
        call.works_for(secs);
    } else {
        TRY_LEAF(require(info.SECS == 0));
    }

    const auto cipher = TRY_LEAF(call.read<PageBytes>(info.SRCPGE));
    const auto slots = TRY_LEAF(call.pin(va));
    const uint64_t slot = regs.rdx % kPageSize;
    const uint64_t version = slots.read<Le64>(slot);
    PageBytes plain;
    if (version == 0 || !call.sealer().open(header, version, pcmd.MAC, cipher, plain))
        return Status{StatusCode::MAC_COMPARE_FAIL};
    const bool is_secs = page_type(pcmd.SECINFO) == PageType::SECS;
    if (!is_secs) {
        const auto pinned = TRY_LEAF(call.pin(page));
        pinned.write(0, plain);
    }
    const bool taken = call.epcm().with([&](EpcmState& state) {
        if (slots.read<Le64>(slot) != version) return false;
        slots.write(slot, Le64(0));
        if (is_secs) {
            state.add_enclave(page, enclave_from_page(plain));
        } else if (is_child) {
            state.add_child(page, Entry{.VALID = true,
                                        .BLOCKED = blocked,
                                        .flags = pcmd.SECINFO.FLAGS,
                                        .ENCLAVESECS = secs,
                                        .ENCLAVEADDRESS = info.LINADDR});
        } else {
            state.entry(page) = Entry{.VALID = true, .flags = pcmd.SECINFO.FLAGS};
        }
        return true;
    });
    if (taken) return {};
    call.store().discard(page);
    return Status{StatusCode::MAC_COMPARE_FAIL};
}

}  // namespace

Outcome<void> eldb(Call& call) {
    return load(call, true);
}

Outcome<void> eldu(Call& call) {
    return load(call, false);
}

}  // namespace alcove::sgx

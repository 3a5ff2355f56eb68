// SPDX-License-Identifier: Apache-2.0
//
// A slot table out of its process and back. What comes back passes every rule again: it has been in a
// database, and the primary it belongs to may have been given other vCPUs or memory meanwhile.
#include <algorithm>

#include "api/limits.hpp"
#include "ne/slot_table.hpp"

namespace alcove::ne {

namespace {

Failure refuse(const char* what) {
    return fail(ErrorCode::InvalidArgument, std::string("the stored slots: ") + what);
}

// What a command that is in hand has booked, so that finish() can take it back.
Result<void> check_in_hand(const Slot& slot, const work::AddMemory& work) {
    if (slot.regions.empty() || slot.regions.back() != work.region ||
        work.enclave_offset != slot.memory_bytes - work.region.size)
        return refuse("a region in hand that the slot has not");
    return {};
}
Result<void> check_in_hand(const Slot& slot, const work::AddVcpus& work) {
    const auto has = [&](VcpuId id) { return std::ranges::find(slot.vcpus, id) != slot.vcpus.end(); };
    if (!std::ranges::all_of(work.vcpus, has)) return refuse("a vCPU in hand that the slot has not");
    return {};
}
Result<void> check_in_hand(const Slot& slot, const work::Start&) {
    if (slot.state == SlotState::INIT) return refuse("a start in hand of a slot that was not started");
    return {};
}
Result<void> check_in_hand(const Slot&, const work::Stop&) {
    return {};
}
Result<void> check_in_hand(const Slot&, const work::Free&) {
    return {};
}

}  // namespace

SlotTable::Saved SlotTable::saved() const {
    Saved saved{.last_uid = last_uid_,
                .next_cid = next_cid_,
                .held_cids = held_cids_,
                .in_hand = in_hand_,
                .releasing = releasing_};
    for (const auto& [uid, slot] : slots_)
        saved.slots.push_back(slot);
    return saved;
}

Result<SlotTable> SlotTable::restore(Parent parent, UidSource uids, const Saved& saved) {
    TRY(parent.check());
    SlotTable table(std::move(parent), std::move(uids));
    if (saved.slots.size() > table.parent_.max_slots) return refuse("more than there may be");
    if (saved.next_cid < kFirstChosenCid || number(saved.next_cid) > api::kMaxGuestCid)
        return refuse("a next CID that no enclave may have");
    table.held_cids_ = saved.held_cids;
    table.next_cid_ = saved.next_cid;
    for (const auto& slot : saved.slots)
        TRY(table.restore_slot(slot));
    // Not before: the regions came in another order, in which there may have been fewer at every moment.
    if (table.carved_.most_pieces() > table.parent_.max_ram_pieces)
        return refuse("RAM in more pieces than there are memory slots");
    if (saved.last_uid < table.last_uid_) return refuse("a last slot_uid below that of a slot");
    table.last_uid_ = saved.last_uid;
    if (saved.in_hand) {
        const Slot* slot = table.find(slot_of(*saved.in_hand));
        if (slot == nullptr) return refuse("a command in hand for a slot that is not there");
        if (saved.releasing) return refuse("a command in hand while all is released");
        TRY(std::visit([&](const auto& work) { return check_in_hand(*slot, work); }, *saved.in_hand));
    }
    table.in_hand_ = saved.in_hand;
    table.releasing_ = saved.releasing;
    return table;
}

Result<void> SlotTable::restore_slot(const Slot& saved) {
    if (saved.uid <= last_uid_) return refuse("a slot_uid that is zero, twice there or not in order");
    Slot slot{.uid = saved.uid};
    for (const auto& region : saved.regions) {
        if (check_region(parent_, region.base.value(), region.size) != 0 || carved_.overlaps(region))
            return refuse("a region that the primary could not have given");
        carved_.add(region, slot.uid);
        slot.regions.push_back(region);
        slot.memory_bytes += region.size;
    }
    for (const auto id : saved.vcpus) {
        if (check_new_vcpu(slot, number(id)) != 0)
            return refuse("a vCPU that the primary could not have given");
        vcpu_owners_[number(id)] = slot.uid;
        slot.vcpus.push_back(id);
    }
    if (saved.memory_bytes != slot.memory_bytes) return refuse("a size that is not that of the regions");
    const bool started = saved.state != SlotState::INIT;
    if (!slot_state_from(static_cast<uint16_t>(saved.state))) return refuse("an unknown state");
    if (started != (saved.cid != Cid{})) return refuse("a CID and a start go together");
    if (started) {
        const bool fits = check_start_cid(number(saved.cid)) == 0 && check_start_flags(saved.flags) == 0 &&
                          check_complete(slot) == 0 && !is_cid_taken(saved.cid);
        if (!fits) return refuse("a running enclave that could not have been started");
    } else if (saved.flags != 0) {
        return refuse("flags without a start");
    }
    slot.state = saved.state;
    slot.cid = saved.cid;
    slot.flags = saved.flags;
    last_uid_ = slot.uid;
    slots_.emplace(slot.uid, std::move(slot));
    return {};
}

}  // namespace alcove::ne

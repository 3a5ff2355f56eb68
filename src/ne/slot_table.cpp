// SPDX-License-Identifier: Apache-2.0
#include "ne/slot_table.hpp"

#include <algorithm>
#include <cerrno>

#include "api/limits.hpp"

namespace alcove::ne {

using memory::GuestAddress;
using memory::GuestRange;

SlotUid slot_of(const Work& work) {
    return std::visit([](const auto& body) { return body.slot; }, work);
}

SlotTable::SlotTable(Parent parent, UidSource uids)
    : parent_(std::move(parent)),
      uids_(std::move(uids)),
      carved_(parent_.ram),
      vcpu_owners_(parent_.core_of_vcpu.size()) {
    for (uint32_t id = 0; id < vcpu_owners_.size(); ++id)
        core_vcpus_[parent_.core_of_vcpu[id]].push_back(VcpuId{id});
}

Result<SlotTable> SlotTable::create(Parent parent, UidSource uids) {
    TRY(parent.check());
    return SlotTable(std::move(parent), std::move(uids));
}

SlotTable::Outcome SlotTable::begin(const Request& request) {
    if (in_hand_ || releasing_) return refusal(EBUSY);
    return std::visit([this](const auto& body) { return handle(body); }, request);
}

SlotTable::Outcome SlotTable::hand_out(Work work) {
    in_hand_ = work;
    return work;
}

Reply SlotTable::finish(int32_t rc) {
    ALCOVE_CHECK(in_hand_, "a command is in hand");
    const Work work = *std::exchange(in_hand_, std::nullopt);
    const SlotUid uid = slot_of(work);
    const bool is_free = std::holds_alternative<work::Free>(work);
    const bool can_fail = !is_free && !std::holds_alternative<work::Stop>(work);
    if (can_fail && rc < 0) {
        std::visit([this](const auto& body) { undo(body); }, work);
        return refusal(is_valid_rc(rc) ? -rc : EIO);
    }
    auto reply = success(uid);
    if (std::holds_alternative<work::Start>(work)) reply.enclave_cid = number(slots_.at(uid).cid);
    if (is_free) erase(uid);
    return reply;
}

SlotTable::Outcome SlotTable::handle(const SlotAlloc&) {
    if (slots_.size() >= parent_.max_slots) return refusal(ENOSPC);
    // Above all earlier ones also when the clock was set back: attestation documents name enclaves by it.
    const SlotUid uid{std::max(number(uids_()), number(last_uid_) + 1)};
    last_uid_ = uid;
    slots_.emplace(uid, Slot{.uid = uid});
    auto reply = success(uid);
    reply.mem_regions = parent_.max_regions();
    return reply;
}

SlotTable::Outcome SlotTable::handle(const SlotFree& request) {
    const Slot* slot = find_slot(request.slot_uid);
    if (slot == nullptr) return refusal(EINVAL);
    return hand_out(work::Free{slot->uid});
}

SlotTable::Outcome SlotTable::handle(const SlotAddMem& request) {
    Slot* slot = find_slot(request.slot_uid);
    if (slot == nullptr || slot->state != SlotState::INIT) return refusal(EINVAL);
    const int refused = check_new_region(parent_, carved_, slot->uid, request.paddr, request.size);
    if (refused != 0) return refusal(refused);
    const GuestRange region{GuestAddress(request.paddr), request.size};
    const uint64_t offset = slot->memory_bytes;
    carved_.add(region, slot->uid);
    slot->regions.push_back(region);
    slot->memory_bytes += region.size;
    return hand_out(work::AddMemory{.slot = slot->uid, .region = region, .enclave_offset = offset});
}

void SlotTable::undo(const work::AddMemory& work) {
    Slot& slot = slots_.at(work.slot);
    ALCOVE_CHECK(!slot.regions.empty() && slot.regions.back() == work.region, "the region came last");
    carved_.remove(work.region);
    slot.regions.pop_back();
    slot.memory_bytes -= work.region.size;
}

SlotTable::Outcome SlotTable::handle(const SlotAddVcpu& request) {
    Slot* slot = find_slot(request.slot_uid);
    if (slot == nullptr || slot->state != SlotState::INIT) return refusal(EINVAL);
    const int refused = check_new_vcpu(*slot, request.vcpu_id);
    if (refused != 0) return refusal(refused);
    return add_vcpus(*slot, {to_vcpu_id(request.vcpu_id)});
}

// No public code uses this command; what it means is ours to say: so many vCPUs as the device likes, all or
// none.
SlotTable::Outcome SlotTable::handle(const SlotAddBulkVcpus& request) {
    Slot* slot = find_slot(request.slot_uid);
    if (slot == nullptr || slot->state != SlotState::INIT) return refusal(EINVAL);
    if (request.nr_vcpus == 0) return refusal(EINVAL);
    auto picked = pick_vcpus(*slot, request.nr_vcpus);
    if (picked.size() != request.nr_vcpus) return refusal(ENOSPC);
    return add_vcpus(*slot, std::move(picked));
}

SlotTable::Outcome SlotTable::add_vcpus(Slot& slot, std::vector<VcpuId> vcpus) {
    for (const auto id : vcpus) {
        vcpu_owners_[number(id)] = slot.uid;
        slot.vcpus.push_back(id);
    }
    return hand_out(work::AddVcpus{.slot = slot.uid, .vcpus = std::move(vcpus)});
}

void SlotTable::undo(const work::AddVcpus& work) {
    Slot& slot = slots_.at(work.slot);
    for (const auto id : work.vcpus) {
        vcpu_owners_[number(id)] = SlotUid{};
        std::erase(slot.vcpus, id);
    }
}

SlotTable::Outcome SlotTable::handle(const EnclaveStart& request) {
    Slot* slot = find_slot(request.slot_uid);
    if (slot == nullptr || slot->state != SlotState::INIT) return refusal(EINVAL);
    const int flags_refused = check_start_flags(request.flags);
    if (flags_refused != 0) return refusal(flags_refused);
    const int cid_refused = check_start_cid(request.enclave_cid);
    if (cid_refused != 0) return refusal(cid_refused);
    const int incomplete = check_complete(*slot);
    if (incomplete != 0) return refusal(incomplete);
    const Cid asked = to_cid(request.enclave_cid);
    if (asked != Cid{} && is_cid_taken(asked)) return refusal(EEXIST);
    slot->cid = asked != Cid{} ? asked : choose_cid();
    slot->flags = request.flags;
    slot->state = SlotState::RUNNING;
    return hand_out(work::Start{slot->uid});
}

void SlotTable::undo(const work::Start& work) {
    Slot& slot = slots_.at(work.slot);
    slot.state = SlotState::INIT;
    slot.cid = Cid{};
    slot.flags = 0;
}

// Success whatever the state: the driver leaks the enclave for ever otherwise (nitro.md 1.13), and an enclave
// may have ended a moment ago. One that was not started is left as it is.
SlotTable::Outcome SlotTable::handle(const EnclaveStop& request) {
    Slot* slot = find_slot(request.slot_uid);
    if (slot == nullptr) return refusal(EINVAL);
    if (slot->state != SlotState::RUNNING) return success(slot->uid);
    slot->state = SlotState::STOPPED;
    return hand_out(work::Stop{slot->uid});
}

SlotTable::Outcome SlotTable::handle(const EnclaveGetSlot& request) {
    const Cid cid = to_cid(request.enclave_cid);
    const auto found = std::ranges::find_if(
        slots_, [cid](const auto& entry) { return cid != Cid{} && entry.second.cid == cid; });
    if (found == slots_.end()) return refusal(ENODEV);
    auto reply = success(found->first);
    reply.enclave_cid = number(cid);
    return reply;
}

SlotTable::Outcome SlotTable::handle(const SlotCount&) {
    Reply reply{};
    reply.slot_count = slots_.size();
    return reply;
}

// The next above the given number, 0 behind the last: a walk neither breaks off nor repeats when slots come
// and go meanwhile.
SlotTable::Outcome SlotTable::handle(const NextSlot& request) {
    const auto next = slots_.upper_bound(to_slot_uid(request.slot_uid));
    return success(next == slots_.end() ? SlotUid{} : next->first);
}

SlotTable::Outcome SlotTable::handle(const SlotInfo& request) {
    const Slot* slot = find_slot(request.slot_uid);
    if (slot == nullptr) return refusal(EINVAL);
    auto reply = success(slot->uid);
    reply.enclave_cid = number(slot->cid);
    reply.mem_regions = slot->regions.size();
    reply.mem_size = slot->memory_bytes;
    reply.nr_vcpus = slot->vcpus.size();
    reply.flags = slot->flags;
    reply.state = static_cast<uint16_t>(slot->state);
    return reply;
}

bool SlotTable::enclave_ended(SlotUid uid) {
    Slot* slot = find_slot(number(uid));
    if (slot == nullptr || slot->state != SlotState::RUNNING) return false;
    slot->state = SlotState::STOPPED;
    return true;
}

void SlotTable::begin_release() {
    ALCOVE_CHECK(!in_hand_, "the command in hand was finished first");
    releasing_ = true;
}

void SlotTable::finish_release() {
    ALCOVE_CHECK(releasing_, "a release has begun");
    while (!slots_.empty())
        erase(slots_.begin()->first);
    releasing_ = false;
}

bool SlotTable::hold_cid(Cid cid) {
    if (is_cid_taken(cid)) return false;
    held_cids_.insert(cid);
    return true;
}

void SlotTable::drop_cid(Cid cid) {
    held_cids_.erase(cid);
}

const Slot* SlotTable::find(SlotUid uid) const {
    const auto found = slots_.find(uid);
    return found == slots_.end() ? nullptr : &found->second;
}

Slot* SlotTable::find_slot(uint64_t uid) {
    const auto found = slots_.find(to_slot_uid(uid));
    return found == slots_.end() ? nullptr : &found->second;
}

std::vector<const Slot*> SlotTable::slots() const {
    std::vector<const Slot*> list;
    for (const auto& [uid, slot] : slots_)
        list.push_back(&slot);
    return list;
}

std::optional<SlotUid> SlotTable::vcpu_owner(VcpuId id) const {
    if (!parent_.has_vcpu(number(id)) || vcpu_owners_[number(id)] == SlotUid{}) return std::nullopt;
    return vcpu_owners_[number(id)];
}

int SlotTable::check_new_vcpu(const Slot& slot, uint64_t id) const {
    const int refused = check_vcpu(parent_, id);
    if (refused != 0) return refused;
    const auto vcpu = static_cast<VcpuId>(id);
    if (vcpu_owners_[number(vcpu)] != SlotUid{}) return EBUSY;
    // Two enclaves on the threads of one core would see each other's shadow in its caches.
    const auto& siblings = core_vcpus_.at(parent_.core(vcpu));
    const bool shared = std::ranges::any_of(siblings, [&](VcpuId sibling) {
        const SlotUid owner = vcpu_owners_[number(sibling)];
        return owner != SlotUid{} && owner != slot.uid;
    });
    return shared ? EBUSY : 0;
}

int SlotTable::check_complete(const Slot& slot) const {
    if (slot.regions.empty() || slot.vcpus.empty()) return EINVAL;
    if (slot.memory_bytes < parent_.min_enclave_memory) return ENOMEM;
    const bool whole = std::ranges::all_of(slot.vcpus, [&](VcpuId id) {
        return std::ranges::all_of(core_vcpus_.at(parent_.core(id)),
                                   [&](VcpuId sibling) { return vcpu_owners_[number(sibling)] == slot.uid; });
    });
    return whole ? 0 : EINVAL;
}

// First the missing threads of cores that the slot has begun, then free cores upwards.
std::vector<VcpuId> SlotTable::pick_vcpus(const Slot& slot, uint64_t count) const {
    std::vector<VcpuId> picked;
    const auto take_from = [&](const std::vector<VcpuId>& vcpus) {
        for (const auto id : vcpus)
            if (picked.size() < count && check_new_vcpu(slot, number(id)) == 0) picked.push_back(id);
    };
    const auto is_begun = [&](const std::vector<VcpuId>& vcpus) {
        return std::ranges::any_of(vcpus, [&](VcpuId id) { return vcpu_owners_[number(id)] == slot.uid; });
    };
    for (const bool begun : {true, false})
        for (const auto& [core, vcpus] : core_vcpus_)
            if (is_begun(vcpus) == begun) take_from(vcpus);
    return picked;
}

bool SlotTable::is_cid_taken(Cid cid) const {
    return held_cids_.contains(cid) ||
           std::ranges::any_of(slots_, [cid](const auto& entry) { return entry.second.cid == cid; });
}

// Upwards, and on behind the last one chosen, so that a CID is not soon somebody else's. Ends: fewer are
// taken than there are.
Cid SlotTable::choose_cid() {
    while (true) {
        const Cid candidate = next_cid_;
        next_cid_ = number(candidate) >= api::kMaxGuestCid ? kFirstChosenCid : Cid{number(candidate) + 1};
        if (!is_cid_taken(candidate)) return candidate;
    }
}

void SlotTable::erase(SlotUid uid) {
    const auto found = slots_.find(uid);
    for (const auto& region : found->second.regions)
        carved_.remove(region);
    for (const auto id : found->second.vcpus)
        vcpu_owners_[number(id)] = SlotUid{};
    slots_.erase(found);
}

}  // namespace alcove::ne

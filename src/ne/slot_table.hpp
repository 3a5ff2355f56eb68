// SPDX-License-Identifier: Apache-2.0
//
// The slots of one primary: the state machine behind the eleven commands, and the record of who owns each of
// the primary's pages and vCPUs. Pure logic: it decides and books; somebody else moves the memory. alcoved
// has one for each primary, and it is the one that counts (README.md, "Who checks what").
//
//                SLOT_ADD_MEM, SLOT_ADD_VCPU
//                 ┌────┐
//                 │    ▼    ENCLAVE_START            ENCLAVE_STOP, enclave_ended()
//     SLOT_ALLOC ─► INIT ─────────────────► RUNNING ──────────────────────────────► STOPPED
//                    │                        │                                       │
//                    └────────────────────────┴── SLOT_FREE, release ─────────────────┘──► gone
//
// A command is begun, and what it takes is booked at once; if the host then fails to do it, finish() takes
// the booking back. So at any moment, also when alcoved is killed in between, every page and vCPU has one
// owner.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <variant>
#include <vector>

#include "ne/carved_map.hpp"
#include "ne/parent.hpp"
#include "ne/request.hpp"
#include "ne/rules.hpp"
#include "support/result.hpp"

namespace alcove::ne {

// What the host has to do for a command.
namespace work {
// Move the region's contents into the enclave's memory at `enclave_offset` (regions concatenate in order), so
// that the primary can neither read nor write it.
struct AddMemory {
    SlotUid slot;
    memory::GuestRange region;
    uint64_t enclave_offset;
    bool operator==(const AddMemory&) const = default;
};
// Let these vCPUs of the primary run on what cores it keeps.
struct AddVcpus {
    SlotUid slot;
    std::vector<VcpuId> vcpus;
    bool operator==(const AddVcpus&) const = default;
};
// Give the cores to the enclave and start it. Done as soon as that is under way: an image that turns out to
// be bad is enclave_ended().
struct Start {
    SlotUid slot;
    bool operator==(const Start&) const = default;
};
struct Stop {  // can not fail
    SlotUid slot;
    bool operator==(const Stop&) const = default;
};
// Stop it if it runs, scrub its memory, give everything back. Can not fail.
struct Free {
    SlotUid slot;
    bool operator==(const Free&) const = default;
};
}  // namespace work
using Work = std::variant<work::AddMemory, work::AddVcpus, work::Start, work::Stop, work::Free>;
SlotUid slot_of(const Work& work);

struct Slot {
    SlotUid uid{};
    SlotState state = SlotState::INIT;
    Cid cid{};           // from START until the slot is gone, so that nobody meets a successor by mistake
    uint64_t flags = 0;  // of START
    std::vector<memory::GuestRange> regions{};  // in the order in which they were added
    std::vector<VcpuId> vcpus{};                // likewise
    uint64_t memory_bytes = 0;                  // of all regions

    bool is_debug() const { return (flags & EnclaveStart::DEBUG_MODE) != 0; }
    bool operator==(const Slot&) const = default;
};

class SlotTable {
  public:
    // Gives the next slot_uid: 48 bits of milliseconds since 1970, 16 of chance. One that is not above all
    // earlier ones is replaced by one that is.
    using UidSource = std::function<SlotUid()>;

    // The answer, if it can be given already; otherwise what has to be done first, and then finish().
    using Outcome = std::variant<Reply, Work>;

    // What has to be stored before a command is answered, and what restore() takes.
    struct Saved {
        std::vector<Slot> slots{};  // by uid
        SlotUid last_uid{};
        Cid next_cid = kFirstChosenCid;
        std::set<Cid> held_cids{};
        std::optional<Work> in_hand{};
        bool releasing = false;
        bool operator==(const Saved&) const = default;
    };

    // ErrorCode::InvalidArgument when parent.check() fails, or the saved slots break a rule.
    static Result<SlotTable> create(Parent parent, UidSource uids);
    static Result<SlotTable> restore(Parent parent, UidSource uids, const Saved& saved);

    // Refused with EBUSY while another command is in hand, or a release: the primary's VMM keeps to one at a
    // time, and one that does not is not obeyed.
    Outcome begin(const Request& request);
    // What begin() gave has been done (rc 0), or could not be (a negative errno): then it never was. STOP and
    // FREE are done in any case.
    Reply finish(int32_t rc);

    // The enclave of a slot ended by itself, or never came up. True: the state changed, tell the driver.
    bool enclave_ended(SlotUid slot);

    // Everything goes back (ENABLE=0, reset, the primary's end). No command is in hand. Until
    // finish_release() the slots still own what they have.
    void begin_release();
    void finish_release();

    // CIDs of the fabric that others have, such as enclaves that were started with the primary. False: taken.
    bool hold_cid(Cid cid);
    void drop_cid(Cid cid);

    const Parent& parent() const { return parent_; }
    const Slot* find(SlotUid uid) const;
    std::vector<const Slot*> slots() const;  // by uid
    const CarvedMap& carved() const { return carved_; }
    std::optional<SlotUid> vcpu_owner(VcpuId id) const;  // nothing: the primary
    const std::optional<Work>& in_hand() const { return in_hand_; }
    bool is_releasing() const { return releasing_; }
    Saved saved() const;

  private:
    SlotTable(Parent parent, UidSource uids);
    Outcome handle(const EnclaveStart& request);
    Outcome handle(const EnclaveGetSlot& request);
    Outcome handle(const EnclaveStop& request);
    Outcome handle(const SlotAlloc& request);
    Outcome handle(const SlotFree& request);
    Outcome handle(const SlotAddMem& request);
    Outcome handle(const SlotAddVcpu& request);
    Outcome handle(const SlotCount& request);
    Outcome handle(const NextSlot& request);
    Outcome handle(const SlotInfo& request);
    Outcome handle(const SlotAddBulkVcpus& request);

    Outcome add_vcpus(Slot& slot, std::vector<VcpuId> vcpus);
    Outcome hand_out(Work work);
    void undo(const work::AddMemory& work);
    void undo(const work::AddVcpus& work);
    void undo(const work::Start& work);
    void undo(const work::Stop&) {}
    void undo(const work::Free&) {}

    Slot* find_slot(uint64_t uid);
    int check_new_vcpu(const Slot& slot, uint64_t id) const;
    int check_complete(const Slot& slot) const;  // fit to be started
    bool is_cid_taken(Cid cid) const;
    Cid choose_cid();
    std::vector<VcpuId> pick_vcpus(const Slot& slot, uint64_t count) const;
    void erase(SlotUid uid);
    Result<void> restore_slot(const Slot& saved);

    Parent parent_;
    UidSource uids_;
    std::map<SlotUid, Slot> slots_;
    CarvedMap carved_;
    std::vector<SlotUid> vcpu_owners_;                    // by VcpuId; 0: the primary
    std::map<uint32_t, std::vector<VcpuId>> core_vcpus_;  // all vCPUs of a core
    std::set<Cid> held_cids_;
    SlotUid last_uid_{};
    Cid next_cid_ = kFirstChosenCid;
    std::optional<Work> in_hand_;
    bool releasing_ = false;
};

}  // namespace alcove::ne

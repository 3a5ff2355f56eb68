// SPDX-License-Identifier: Apache-2.0
//
// A primary that its kernel, or its VMM, uses against us: any stream of commands against the rules. Beside
// the table runs a model that knows only requests and replies and holds one owner for each megabyte of RAM
// and each vCPU; after each command the table must say the same, so nothing is owned twice and nothing is
// lost. The first byte chooses the primary; then rows of one byte of what, and the numbers it needs.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <set>

#include "api/limits.hpp"
#include "ne/message_codec.hpp"
#include "ne/slot_table.hpp"

namespace {

using namespace alcove;
using namespace alcove::ne;
using memory::GuestAddress;
using memory::GuestRange;

void require(bool condition) {
    if (!condition) std::abort();
}

class Input {
  public:
    explicit Input(ByteView data) : data_(data) {}
    bool is_empty() const { return data_.empty(); }
    uint64_t number(size_t bytes) {
        uint64_t value = 0;
        for (size_t i = 0; i < bytes && !data_.empty(); ++i) {
            value = value << 8 | data_.front();
            data_ = data_.subspan(1);
        }
        return value;
    }

  private:
    ByteView data_;
};

Parent parent_for(uint8_t choice) {
    const bool smt = (choice & 1) != 0;
    Parent parent{.ram = {{GuestAddress(0), 32_MiB}, {GuestAddress(4_GiB), 32_MiB}},
                  .backing_page = (choice & 2) != 0 ? 4_MiB : 4_KiB,
                  .core_of_vcpu = {},
                  .max_slots = 1U + (choice >> 2 & 3),
                  .max_ram_pieces = (choice & 16) != 0 ? 4U : Parent::kMaxRamPieces,
                  .min_enclave_memory = 4_MiB};
    for (uint32_t id = 0; id < 8; ++id)
        parent.core_of_vcpu.push_back(smt ? id / 2 : id);
    return parent;
}

// What follows from requests and replies alone. Owner 0 is the primary.
class Model {
  public:
    explicit Model(const Parent& parent) : parent_(parent), vcpus_(parent.core_of_vcpu.size(), 0) {
        for (const auto& range : parent.ram)
            for (uint64_t at = range.base.value(); at < range.end(); at += 1_MiB)
                memory_[at] = 0;
    }

    void apply(const Request& request, const Reply& reply, const std::vector<VcpuId>& bulk) {
        if (rc_of(reply) < 0) {
            require(is_valid_rc(rc_of(reply)));
            return;
        }
        std::visit([&](const auto& body) { succeeded(body, reply, bulk); }, request);
    }
    void free(uint64_t slot) {
        for (auto& [at, owner] : memory_)
            if (owner == slot) owner = 0;
        for (auto& owner : vcpus_)
            if (owner == slot) owner = 0;
        cids_.erase(slot);
        slots_.erase(slot);
    }
    void free_all() {
        while (!slots_.empty())
            free(*slots_.begin());
    }
    bool knows(uint64_t slot) const { return slots_.contains(slot); }
    bool has_cid(uint64_t cid) const {
        return std::ranges::any_of(cids_, [cid](const auto& entry) { return entry.second == cid; });
    }

    void compare(const SlotTable& table) const {
        uint64_t pieces = 0;
        uint64_t stretches = 0;
        uint64_t carved = 0;
        uint64_t end_of_last = ~uint64_t{0};
        uint64_t last_owner = 0;
        for (const auto& [at, owner] : memory_) {
            const auto told = table.carved().owner(GuestAddress(at));
            require(told.value_or(SlotUid{}) == to_slot_uid(owner));
            require(table.carved().owner(GuestAddress(at + 1_MiB - 1)) == told);
            if (at != end_of_last || owner != last_owner) {
                ++stretches;
                if (owner == 0) ++pieces;
            }
            last_owner = owner;
            end_of_last = at + 1_MiB;
            if (owner != 0) carved += 1_MiB;
        }
        require(table.carved().carved_bytes() == carved);
        require(table.carved().stretches() == stretches);
        require(pieces <= table.carved().most_pieces());
        require(table.carved().most_pieces() <= parent_.max_ram_pieces);
        for (uint32_t id = 0; id < vcpus_.size(); ++id)
            require(table.vcpu_owner(VcpuId{id}).value_or(SlotUid{}) == to_slot_uid(vcpus_[id]));
        require(table.slots().size() == slots_.size());
        for (const auto* slot : table.slots())
            compare_slot(*slot);
    }

  private:
    void compare_slot(const Slot& slot) const {
        const uint64_t uid = number(slot.uid);
        require(slots_.contains(uid));
        uint64_t bytes = 0;
        for (const auto& region : slot.regions)
            bytes += region.size;
        const auto owned =
            std::ranges::count_if(memory_, [&](const auto& entry) { return entry.second == uid; });
        require(bytes == slot.memory_bytes && bytes == static_cast<uint64_t>(owned) << 20);
        require(slot.vcpus.size() == static_cast<size_t>(std::ranges::count(vcpus_, uid)));
        const auto cid = cids_.find(uid);
        require(number(slot.cid) == (cid == cids_.end() ? 0 : cid->second));
        if (slot.state == SlotState::INIT) return;
        require(api::is_guest_cid(number(slot.cid)) && bytes >= parent_.min_enclave_memory);
        for (uint32_t id = 0; id < vcpus_.size(); ++id)
            if (vcpus_[id] == uid) require_whole_core(id, uid);
    }
    void require_whole_core(uint32_t id, uint64_t uid) const {
        for (uint32_t other = 0; other < vcpus_.size(); ++other)
            if (parent_.core_of_vcpu[other] == parent_.core_of_vcpu[id]) require(vcpus_[other] == uid);
    }
    void give_vcpu(uint64_t slot, uint64_t id) {
        require(id < vcpus_.size() && vcpus_[id] == 0 && slots_.contains(slot));
        require(parent_.core_of_vcpu[id] != parent_.core_of_vcpu[0]);
        for (uint32_t other = 0; other < vcpus_.size(); ++other)
            if (parent_.core_of_vcpu[other] == parent_.core_of_vcpu[id])
                require(vcpus_[other] == 0 || vcpus_[other] == slot);
        vcpus_[id] = slot;
    }

    using Bulk = std::vector<VcpuId>;
    void succeeded(const SlotAlloc&, const Reply& reply, const Bulk&) {
        require(slots_.size() < parent_.max_slots);
        require(reply.slot_uid > last_uid_ && reply.mem_regions > 0);
        last_uid_ = reply.slot_uid;
        slots_.insert(reply.slot_uid);
    }
    void succeeded(const SlotAddMem& body, const Reply&, const Bulk&) {
        require(slots_.contains(body.slot_uid) && !cids_.contains(body.slot_uid));
        require(body.size > 0 && body.size % parent_.granule() == 0 && body.paddr % parent_.granule() == 0);
        for (uint64_t at = body.paddr; at != body.paddr + body.size; at += 1_MiB) {
            const auto found = memory_.find(at);
            require(found != memory_.end() && found->second == 0);
            found->second = body.slot_uid;
        }
    }
    void succeeded(const SlotAddVcpu& body, const Reply&, const Bulk&) {
        require(!cids_.contains(body.slot_uid));
        give_vcpu(body.slot_uid, body.vcpu_id);
    }
    void succeeded(const SlotAddBulkVcpus& body, const Reply&, const Bulk& bulk) {
        require(!cids_.contains(body.slot_uid) && bulk.size() == body.nr_vcpus && !bulk.empty());
        for (const auto id : bulk)
            give_vcpu(body.slot_uid, number(id));
    }
    void succeeded(const EnclaveStart& body, const Reply& reply, const Bulk&) {
        require(slots_.contains(body.slot_uid) && !cids_.contains(body.slot_uid) && body.flags <= 1);
        require(body.enclave_cid == 0 || body.enclave_cid == reply.enclave_cid);
        require(!has_cid(reply.enclave_cid));
        cids_[body.slot_uid] = reply.enclave_cid;
    }
    void succeeded(const SlotFree& body, const Reply&, const Bulk&) {
        require(slots_.contains(body.slot_uid));
        free(body.slot_uid);
    }
    void succeeded(const EnclaveStop& body, const Reply&, const Bulk&) {
        require(slots_.contains(body.slot_uid));
    }
    void succeeded(const SlotInfo& body, const Reply& reply, const Bulk&) {
        require(slots_.contains(body.slot_uid) && slot_state_from(reply.state).has_value());
    }
    void succeeded(const SlotCount&, const Reply& reply, const Bulk&) {
        require(reply.slot_count == slots_.size());
    }
    void succeeded(const NextSlot& body, const Reply& reply, const Bulk&) {
        const auto next = slots_.upper_bound(body.slot_uid);
        require(reply.slot_uid == (next == slots_.end() ? 0 : *next));
    }
    void succeeded(const EnclaveGetSlot& body, const Reply& reply, const Bulk&) {
        require(cids_.at(reply.slot_uid) == body.enclave_cid);
    }

    const Parent& parent_;
    std::map<uint64_t, uint64_t> memory_;  // owner of each megabyte
    std::vector<uint64_t> vcpus_;
    std::set<uint64_t> slots_;
    std::map<uint64_t, uint64_t> cids_;  // of slots that were started
    uint64_t last_uid_ = 0;
};

class Bench {
  public:
    Bench(uint8_t choice, Input& input)
        : parent_(parent_for(choice)),
          input_(input),
          model_(parent_),
          table_(SlotTable::create(parent_, [this] { return SlotUid{++clock_ / 2 << 16}; }).value()) {}

    void step() {
        const auto what = static_cast<uint32_t>(input_.number(1));
        switch (what % 16) {
            case 12:
                if (const auto* slot = any_slot())
                    require(table_.enclave_ended(slot->uid) == false || slot->state == SlotState::STOPPED);
                break;
            case 13:
                table_.begin_release();
                require(std::holds_alternative<Reply>(table_.begin(SlotAlloc{})));
                model_.compare(table_);
                table_.finish_release();
                model_.free_all();
                break;
            case 14:
                reload();
                break;
            case 15: {
                const Cid cid = to_cid(input_.number(1));
                if (table_.hold_cid(cid)) {
                    require(!model_.has_cid(number(cid)));
                    if (what >= 128) table_.drop_cid(cid);
                }
                break;
            }
            default:
                if (const auto request = make_request(what % 16)) ask(*request);
                break;
        }
        model_.compare(table_);
    }

    // Everything can always be given back.
    void free_everything() {
        while (const auto* slot = table_.slots().empty() ? nullptr : table_.slots().front()) {
            const uint64_t uid = number(slot->uid);
            ask(EnclaveStop{.slot_uid = uid});
            ask(SlotFree{.slot_uid = uid});
            require(!model_.knows(uid));
        }
        require(table_.carved().carved_bytes() == 0 && table_.carved().stretches() == parent_.ram.size());
    }

  private:
    const Slot* any_slot() {
        const auto slots = table_.slots();
        const uint64_t choice = input_.number(1);
        return slots.empty() ? nullptr : slots[choice % slots.size()];
    }
    uint64_t slot_number() {
        const auto* slot = any_slot();
        return slot != nullptr ? number(slot->uid) : input_.number(3);
    }
    // Mostly places of memory that are there; now and then anything.
    uint64_t place() {
        const uint64_t choice = input_.number(1);
        if (choice < 64) return (choice % 40) << 20;
        if (choice < 128) return 4_GiB + ((choice % 40) << 20);
        return choice < 192 ? choice << 56 : input_.number(8);
    }
    uint64_t size() {
        const uint64_t choice = input_.number(1);
        return choice < 224 ? (choice % 36) << 20 : input_.number(8);
    }
    uint64_t cid() {
        const uint64_t choice = input_.number(1);
        return choice < 224 ? choice % 32 : input_.number(8);
    }

    std::optional<Request> make_request(uint32_t command) {
        switch (static_cast<Command>(command)) {
            case Command::ENCLAVE_START:
                return EnclaveStart{
                    .slot_uid = slot_number(), .enclave_cid = cid(), .flags = input_.number(1) % 4};
            case Command::ENCLAVE_GET_SLOT:
                return EnclaveGetSlot{.enclave_cid = cid()};
            case Command::ENCLAVE_STOP:
                return EnclaveStop{.slot_uid = slot_number()};
            case Command::SLOT_ALLOC:
                return SlotAlloc{};
            case Command::SLOT_FREE:
                return SlotFree{.slot_uid = slot_number()};
            case Command::SLOT_ADD_MEM:
                return SlotAddMem{.slot_uid = slot_number(), .paddr = place(), .size = size()};
            case Command::SLOT_ADD_VCPU: {
                const uint64_t slot = slot_number();
                return SlotAddVcpu{
                    .slot_uid = slot, .vcpu_id = static_cast<uint32_t>(input_.number(1) % 10), .padding = {}};
            }
            case Command::SLOT_COUNT:
                return SlotCount{};
            case Command::NEXT_SLOT:
                return NextSlot{.slot_uid = slot_number()};
            case Command::SLOT_INFO:
                return SlotInfo{.slot_uid = slot_number()};
            case Command::SLOT_ADD_BULK_VCPUS:
                return SlotAddBulkVcpus{.slot_uid = slot_number(), .nr_vcpus = input_.number(1) % 10};
        }
        return std::nullopt;
    }

    void ask(const Request& request) {
        require_same_over_the_wire(request);
        const auto outcome = table_.begin(request);
        std::vector<VcpuId> bulk;
        Reply reply{};
        if (const auto* work = std::get_if<Work>(&outcome)) {
            if (const auto* add = std::get_if<work::AddVcpus>(work)) bulk = add->vcpus;
            require(std::holds_alternative<Reply>(table_.begin(SlotCount{})));  // one at a time
            const uint64_t how = input_.number(1);
            if (how % 8 == 1) reload();
            reply = table_.finish(how % 4 == 3 ? -ENOMEM : 0);
        } else {
            reply = std::get<Reply>(outcome);
        }
        const bool must_work =
            std::holds_alternative<EnclaveStop>(request) || std::holds_alternative<SlotFree>(request);
        if (must_work) {
            const uint64_t uid = std::holds_alternative<EnclaveStop>(request)
                                     ? std::get<EnclaveStop>(request).slot_uid
                                     : std::get<SlotFree>(request).slot_uid;
            require((rc_of(reply) == 0) == model_.knows(uid));
        }
        model_.apply(request, reply, bulk);
    }
    static void require_same_over_the_wire(const Request& request) {
        const auto message = encode_request(7, request);
        const auto arrived = decode_request(api::open_envelope(message).value());
        require(arrived && encode_request(7, arrived->request) == message);
    }
    // alcoved is killed and comes back.
    void reload() {
        const auto saved = table_.saved();
        auto restored = SlotTable::restore(
            parent_, [this] { return SlotUid{++clock_ / 2 << 16}; }, saved);
        require(restored.has_value() && restored->saved() == saved);
        table_ = std::move(restored).value();
    }

    const Parent parent_;
    Input& input_;
    Model model_;
    uint64_t clock_ = 0;
    SlotTable table_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Input input({data, size});
    Bench bench(static_cast<uint8_t>(input.number(1)), input);
    for (int steps = 0; !input.is_empty() && steps < 256; ++steps)
        bench.step();
    bench.free_everything();
    return 0;
}

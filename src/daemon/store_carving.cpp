// SPDX-License-Identifier: Apache-2.0
//
// The slots of primary VMs in the database. What comes back is judged by ne::SlotTable::restore(); here it
// only has to be well-formed.
#include <nlohmann/json.hpp>

#include "codec/json.hpp"
#include "daemon/store.hpp"
#include "support/bits.hpp"

namespace alcove::daemon {

namespace {

using codec::json::Json;

Failure damaged(const char* what) {
    return fail(ErrorCode::TextMalformed, std::string("the slots in the database: ") + what);
}

template <typename Id>
Json numbers(const std::vector<Id>& ids) {
    Json list = Json::array();
    for (const auto id : ids)
        list.push_back(ne::number(id));
    return list;
}

Result<std::vector<uint64_t>> read_numbers(const Json& list) {
    if (!list.is_array()) return damaged("a list is none");
    std::vector<uint64_t> result;
    for (const auto& item : list) {
        if (!item.is_number_unsigned()) return damaged("a list of something else than numbers");
        result.push_back(item.get<uint64_t>());
    }
    return result;
}

Result<Json> parse(const std::string& text) {
    return codec::json::parse(text, {.bytes = 1_MiB, .depth = 4});
}

Result<std::vector<ne::VcpuId>> read_vcpus(const Json& list) {
    const auto values = TRY(read_numbers(list));
    std::vector<ne::VcpuId> vcpus;
    for (const auto value : values) {
        if (value > UINT32_MAX) return damaged("a vCPU's number");
        vcpus.push_back(ne::to_vcpu_id(static_cast<uint32_t>(value)));
    }
    return vcpus;
}

struct WorkToJson {
    Json operator()(const ne::work::AddMemory& work) const {
        return {{"work", "add-memory"},
                {"slot", ne::number(work.slot)},
                {"base", work.region.base.value()},
                {"size", work.region.size},
                {"offset", work.enclave_offset}};
    }
    Json operator()(const ne::work::AddVcpus& work) const {
        return {{"work", "add-vcpus"}, {"slot", ne::number(work.slot)}, {"vcpus", numbers(work.vcpus)}};
    }
    Json operator()(const ne::work::Start& work) const { return named("start", work.slot); }
    Json operator()(const ne::work::Stop& work) const { return named("stop", work.slot); }
    Json operator()(const ne::work::Free& work) const { return named("free", work.slot); }

    static Json named(const char* name, ne::SlotUid slot) {
        return {{"work", name}, {"slot", ne::number(slot)}};
    }
};

Result<std::optional<ne::Work>> read_work(const std::string& text) {
    if (text.empty()) return std::optional<ne::Work>();
    const auto json = TRY(parse(text));
    const auto name = TRY(codec::json::optional_text_field(json, "work"));
    const auto uid = TRY(codec::json::unsigned_field(json, "slot"));
    const auto slot = ne::to_slot_uid(uid);
    if (name == "start") return std::optional<ne::Work>(ne::work::Start{slot});
    if (name == "stop") return std::optional<ne::Work>(ne::work::Stop{slot});
    if (name == "free") return std::optional<ne::Work>(ne::work::Free{slot});
    if (name == "add-vcpus") {
        const auto* list = TRY(codec::json::optional_array_field(json, "vcpus"));
        if (list == nullptr) return damaged("a command without its vCPUs");
        auto vcpus = TRY(read_vcpus(*list));
        return std::optional<ne::Work>(ne::work::AddVcpus{.slot = slot, .vcpus = std::move(vcpus)});
    }
    if (name != "add-memory") return damaged("an unknown command in hand");
    const auto base = TRY(codec::json::unsigned_field(json, "base"));
    const auto size = TRY(codec::json::unsigned_field(json, "size"));
    const auto offset = TRY(codec::json::unsigned_field(json, "offset"));
    return std::optional<ne::Work>(ne::work::AddMemory{
        .slot = slot, .region = {memory::GuestAddress(base), size}, .enclave_offset = offset});
}

}  // namespace

Result<void> Store::save_carving(const std::string& id, const CarvingRecord& record) {
    auto transaction = TRY(Transaction::begin(database_, Outlives::ItsProcess));
    auto statement = TRY(database_.prepare("INSERT OR REPLACE INTO carvings VALUES (?,?,?,?,?,?,?,?,?,?)"));
    const std::vector<ne::Cid> held(record.slots.held_cids.begin(), record.slots.held_cids.end());
    const std::string held_text = codec::json::dump(numbers(held));
    const std::string in_hand =
        record.slots.in_hand ? codec::json::dump(std::visit(WorkToJson{}, *record.slots.in_hand)) : "";
    statement.bind(1, std::string_view(id)).bind(2, record.life);
    statement.bind(3, ne::number(record.slots.last_uid)).bind(4, ne::number(record.slots.next_cid));
    statement.bind(5, std::string_view(held_text)).bind(6, std::string_view(in_hand));
    statement.bind(7, record.slots.releasing).bind(8, record.last.number).bind(9, record.last.in_hand);
    if (record.last.reply) statement.bind(10, object_bytes(*record.last.reply));
    TRY(statement.run());
    TRY(write_slots(id, record.slots.slots));
    return transaction.commit();
}

Result<void> Store::write_slots(const std::string& id, const std::vector<ne::Slot>& slots) {
    Json uids = Json::array();
    for (const auto& slot : slots)
        uids.push_back(static_cast<int64_t>(ne::number(slot.uid)));
    const std::string kept = codec::json::dump(uids);
    auto gone = TRY(
        database_.prepare("DELETE FROM slots WHERE vm = ? AND uid NOT IN (SELECT value FROM json_each(?))"));
    TRY(gone.bind(1, std::string_view(id)).bind(2, std::string_view(kept)).run());
    for (const auto& slot : slots) {
        auto statement = TRY(database_.prepare(
            "INSERT INTO slots VALUES (?,?,?,?,?,?) ON CONFLICT (vm, uid) DO UPDATE SET state = "
            "excluded.state, cid = excluded.cid, flags = excluded.flags, vcpus = excluded.vcpus"));
        const std::string vcpus = codec::json::dump(numbers(slot.vcpus));
        statement.bind(1, std::string_view(id)).bind(2, ne::number(slot.uid));
        statement.bind(3, static_cast<uint32_t>(slot.state)).bind(4, ne::number(slot.cid));
        statement.bind(5, slot.flags).bind(6, std::string_view(vcpus));
        TRY(statement.run());
        TRY(write_regions(id, slot));
    }
    return {};
}

Result<void> Store::write_regions(const std::string& id, const ne::Slot& slot) {
    auto undone = TRY(database_.prepare("DELETE FROM regions WHERE vm = ? AND uid = ? AND number >= ?"));
    undone.bind(1, std::string_view(id)).bind(2, ne::number(slot.uid));
    TRY(undone.bind(3, static_cast<uint64_t>(slot.regions.size())).run());
    auto last = TRY(database_.prepare("SELECT max(number) FROM regions WHERE vm = ? AND uid = ?"));
    last.bind(1, std::string_view(id)).bind(2, ne::number(slot.uid));
    TRY(last.step());
    // The last one that is stored is written again: a command that failed may have left another there.
    auto next = last.is_null(0) ? 0 : static_cast<size_t>(last.integer(0));
    TRY(last.run());
    for (; next < slot.regions.size(); ++next) {
        auto statement = TRY(database_.prepare("INSERT OR REPLACE INTO regions VALUES (?,?,?,?,?)"));
        const auto& region = slot.regions[next];
        statement.bind(1, std::string_view(id)).bind(2, ne::number(slot.uid));
        statement.bind(3, static_cast<uint64_t>(next)).bind(4, region.base.value()).bind(5, region.size);
        TRY(statement.run());
    }
    return {};
}

Result<std::optional<CarvingRecord>> Store::load_carving(const std::string& id) const {
    auto query = TRY(database_.prepare("SELECT * FROM carvings WHERE vm = ?"));
    query.bind(1, std::string_view(id));
    if (!TRY(query.step())) return std::optional<CarvingRecord>();
    CarvingRecord record;
    record.life = static_cast<uint32_t>(query.integer(1));
    record.slots.last_uid = ne::to_slot_uid(static_cast<uint64_t>(query.integer(2)));
    record.slots.next_cid = ne::to_cid(static_cast<uint64_t>(query.integer(3)));
    const auto held_json = TRY(parse(query.text(4)));
    const auto held = TRY(read_numbers(held_json));
    for (const auto cid : held)
        record.slots.held_cids.insert(ne::to_cid(cid));
    record.slots.in_hand = TRY(read_work(query.text(5)));
    record.slots.releasing = query.integer(6) != 0;
    record.last.number = static_cast<uint32_t>(query.integer(7));
    record.last.in_hand = query.integer(8) != 0;
    if (!query.is_null(9)) {
        const Bytes reply = query.blob(9);
        record.last.reply = read_object<ne::Reply>(reply);
        if (!record.last.reply) return damaged("a reply of another size");
    }
    TRY(query.run());

    auto slots =
        TRY(database_.prepare("SELECT uid, state, cid, flags, vcpus FROM slots WHERE vm = ? ORDER BY uid"));
    slots.bind(1, std::string_view(id));
    while (TRY(slots.step())) {
        const auto state = ne::slot_state_from(static_cast<uint16_t>(slots.integer(1)));
        if (!state) return damaged("an unknown state");
        ne::Slot slot{.uid = ne::to_slot_uid(static_cast<uint64_t>(slots.integer(0))),
                      .state = *state,
                      .cid = ne::to_cid(static_cast<uint64_t>(slots.integer(2))),
                      .flags = static_cast<uint64_t>(slots.integer(3))};
        const auto vcpus = TRY(parse(slots.text(4)));
        slot.vcpus = TRY(read_vcpus(vcpus));
        auto regions =
            TRY(database_.prepare("SELECT base, size FROM regions WHERE vm = ? AND uid = ? ORDER BY number"));
        regions.bind(1, std::string_view(id)).bind(2, ne::number(slot.uid));
        while (TRY(regions.step())) {
            const auto size = static_cast<uint64_t>(regions.integer(1));
            slot.regions.push_back({memory::GuestAddress(static_cast<uint64_t>(regions.integer(0))), size});
            slot.memory_bytes += size;
        }
        record.slots.slots.push_back(std::move(slot));
    }
    return std::optional(std::move(record));
}

}  // namespace alcove::daemon

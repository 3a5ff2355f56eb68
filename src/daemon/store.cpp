// SPDX-License-Identifier: Apache-2.0
#include "daemon/store.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>

#include <nlohmann/json.hpp>

#include "codec/hex.hpp"
#include "crypto/random.hpp"
#include "daemon/disk_json.hpp"
#include "daemon/network_json.hpp"
#include "daemon/sgx_json.hpp"

namespace alcove::daemon {

namespace {

// Schema 1. Leases are keyed by NUMA node. A column that is not known yet is NULL.
constexpr std::string_view kSchema1 = R"sql(
CREATE TABLE host (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    instance_id    TEXT NOT NULL,
    next_cid       INTEGER NOT NULL
);
CREATE TABLE enclaves (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    state          TEXT NOT NULL,
    ready          INTEGER NOT NULL,
    heartbeat      INTEGER NOT NULL,
    cid            INTEGER NOT NULL,
    vcpus          INTEGER NOT NULL,
    memory_bytes   INTEGER NOT NULL,
    pages          TEXT NOT NULL,
    policy         TEXT NOT NULL,
    debug          INTEGER NOT NULL,
    image_bytes    INTEGER NOT NULL,
    vmm_slot       INTEGER NOT NULL,
    created_ms     INTEGER NOT NULL,
    ready_ms       INTEGER NOT NULL,
    ended_ms       INTEGER NOT NULL,
    measurements   BLOB,
    signer         TEXT,
    not_before     INTEGER,
    not_after      INTEGER,
    app_signalled  INTEGER,
    app_value      INTEGER,
    reason         TEXT NOT NULL,
    detail         TEXT NOT NULL,
    vmm_pid        INTEGER NOT NULL,
    exit_status    INTEGER NOT NULL,
    error_code     INTEGER,
    error_message  TEXT
) WITHOUT ROWID;
CREATE TABLE leases (
    enclave        TEXT NOT NULL REFERENCES enclaves (id) ON DELETE CASCADE,
    node           INTEGER NOT NULL,
    cores          TEXT NOT NULL,
    memory_bytes   INTEGER NOT NULL,
    PRIMARY KEY (enclave, node)
) WITHOUT ROWID;
CREATE TABLE events (
    sequence       INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ms        INTEGER NOT NULL,
    enclave        TEXT NOT NULL,
    kind           TEXT NOT NULL,
    detail         TEXT NOT NULL
);
)sql";

// Schema 2: primary VMs beside enclaves.
constexpr std::string_view kSchema2 = R"sql(
ALTER TABLE enclaves RENAME TO vms;
ALTER TABLE vms ADD COLUMN role     TEXT NOT NULL DEFAULT 'enclave';
ALTER TABLE vms ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vms ADD COLUMN disks    TEXT NOT NULL DEFAULT '[]';
ALTER TABLE leases RENAME COLUMN enclave TO vm;
ALTER TABLE events RENAME COLUMN enclave TO vm;
)sql";

// Schema 3: primary VMs that carve. Numbers of 64 bits are stored as SQLite's signed ones.
constexpr std::string_view kSchema3 = R"sql(
ALTER TABLE vms ADD COLUMN parent   TEXT NOT NULL DEFAULT '';
ALTER TABLE vms ADD COLUMN slot_uid INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vms ADD COLUMN enclaves INTEGER NOT NULL DEFAULT 0;
CREATE TABLE carvings (
    vm             TEXT PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    life           INTEGER NOT NULL,
    last_uid       INTEGER NOT NULL,
    next_cid       INTEGER NOT NULL,
    held_cids      TEXT NOT NULL,
    in_hand        TEXT NOT NULL,
    releasing      INTEGER NOT NULL,
    command        INTEGER NOT NULL,
    command_open   INTEGER NOT NULL,
    reply          BLOB
) WITHOUT ROWID;
CREATE TABLE slots (
    vm             TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    uid            INTEGER NOT NULL,
    state          INTEGER NOT NULL,
    cid            INTEGER NOT NULL,
    flags          INTEGER NOT NULL,
    vcpus          TEXT NOT NULL,
    PRIMARY KEY (vm, uid)
) WITHOUT ROWID;
CREATE TABLE regions (
    vm             TEXT NOT NULL,
    uid            INTEGER NOT NULL,
    number         INTEGER NOT NULL,
    base           INTEGER NOT NULL,
    size           INTEGER NOT NULL,
    PRIMARY KEY (vm, uid, number),
    FOREIGN KEY (vm, uid) REFERENCES slots (vm, uid) ON DELETE CASCADE
) WITHOUT ROWID;
)sql";

// Schema 4: networks of primary VMs.
constexpr std::string_view kSchema4 = R"sql(
ALTER TABLE vms ADD COLUMN networks TEXT NOT NULL DEFAULT '[]';
)sql";

// Schema 5: enclaves may have another CPU policy than the VM that they are carved out of.
constexpr std::string_view kSchema5 = R"sql(
ALTER TABLE vms ADD COLUMN enclave_policy TEXT NOT NULL DEFAULT 'dedicated';
UPDATE vms SET enclave_policy = policy;
)sql";

// Schema 6: SGX of primary VMs, as sgx/configuration_json.hpp has it, and the memory that EPC is made of.
constexpr std::string_view kSchema6 = R"sql(
ALTER TABLE vms ADD COLUMN sgx TEXT NOT NULL DEFAULT '';
ALTER TABLE leases ADD COLUMN epc_bytes INTEGER NOT NULL DEFAULT 0;
)sql";

// Schema 7: EPC of the host's processors, which is no memory.
constexpr std::string_view kSchema7 = R"sql(
ALTER TABLE leases ADD COLUMN hardware_epc_bytes INTEGER NOT NULL DEFAULT 0;
)sql";

// Schema 8: why dedicated CPUs are not exclusive, if they are not.
constexpr std::string_view kSchema8 = R"sql(
ALTER TABLE vms ADD COLUMN core_note TEXT NOT NULL DEFAULT '';
)sql";

// Schema 9: what an image says of itself.
constexpr std::string_view kSchema9 = R"sql(
ALTER TABLE vms ADD COLUMN image_metadata TEXT NOT NULL DEFAULT '';
)sql";

constexpr size_t kPcrBytes = 48;

std::string core_list(const std::vector<host::CoreId>& cores) {
    std::string text;
    for (const auto core : cores)
        text += (text.empty() ? "" : ",") + std::to_string(core.value);
    return text;
}

Result<std::vector<host::CoreId>> parse_core_list(std::string_view text) {
    std::vector<host::CoreId> cores;
    while (!text.empty()) {
        uint32_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const auto used = static_cast<size_t>(end - text.data());
        if (error != std::errc{} || (used < text.size() && text[used] != ','))
            return fail(ErrorCode::TextMalformed, "a list of cores in the database is damaged");
        cores.push_back(host::CoreId{value});
        text.remove_prefix(std::min(used + 1, text.size()));
    }
    return cores;
}

Bytes pack(const Measurements& measured) {
    Bytes blob;
    for (const auto* pcr : {&measured.pcr0, &measured.pcr1, &measured.pcr2, &measured.pcr8})
        blob.insert(blob.end(), pcr->begin(), pcr->end());
    return blob;
}

std::optional<Measurements> unpack(ByteView blob) {
    if (blob.size() != 4 * kPcrBytes) return std::nullopt;
    Measurements measured;
    size_t offset = 0;
    for (auto* pcr : {&measured.pcr0, &measured.pcr1, &measured.pcr2, &measured.pcr8}) {
        std::ranges::copy(blob.subspan(offset, kPcrBytes), pcr->begin());
        offset += kPcrBytes;
    }
    return measured;
}

// Columns in the order of the schema.
Result<VmRecord> read_record(const Statement& row) {
    VmRecord record;
    int column = 0;
    const auto integer = [&] { return row.integer(column++); };
    const auto number = [&] { return static_cast<uint32_t>(integer()); };
    const auto text = [&] { return row.text(column++); };
    record.id = text();
    record.name = text();
    const auto state = state_from(text());
    if (!state) return fail(ErrorCode::TextMalformed, "a VM's state in the database is unknown");
    record.state = *state;
    record.ready = integer() != 0;
    record.heartbeat = static_cast<HeartbeatAnswer>(std::clamp<int64_t>(integer(), 0, 2));
    record.cid = static_cast<uint64_t>(integer());
    record.vcpus = number();
    record.memory_bytes = static_cast<uint64_t>(integer());
    record.pages = text() == "2m" ? host::PageSize::Size2M : host::PageSize::Size4K;
    record.policy = text() == "shared" ? host::CpuPolicy::Shared : host::CpuPolicy::Dedicated;
    record.debug = integer() != 0;
    record.image_bytes = static_cast<uint64_t>(integer());
    record.vmm_slot = number();
    record.created_ms = integer();
    record.ready_ms = integer();
    record.ended_ms = integer();
    record.measurements = unpack(row.blob(column++));
    if (!row.is_null(column)) {
        record.signature = ImageSignature{.subject = row.text(column),
                                          .not_before = row.integer(column + 1),
                                          .not_after = row.integer(column + 2)};
    }
    column += 3;
    if (!row.is_null(column)) {
        record.app_exit = AppExit{.signalled = row.integer(column) != 0,
                                  .value = static_cast<uint32_t>(row.integer(column + 1))};
    }
    column += 2;
    record.reason = text();
    record.detail = text();
    record.vmm_pid = number();
    record.exit_status = number();
    if (!row.is_null(column)) {
        record.error =
            StoredError{.code = static_cast<ErrorCode>(row.integer(column)), .message = row.text(column + 1)};
    }
    column += 2;
    record.role =
        text() == api::role_name(api::VmRole::Primary) ? api::VmRole::Primary : api::VmRole::Enclave;
    record.restarts = number();
    record.disks = TRY(parse_disks(text()).context("the disks of a VM in the database"));
    record.parent = text();
    record.slot_uid = static_cast<uint64_t>(integer());
    record.enclaves = integer() != 0;
    record.networks = TRY(parse_networks(text()).context("the networks of a VM in the database"));
    record.enclave_policy = text() == "shared" ? host::CpuPolicy::Shared : host::CpuPolicy::Dedicated;
    record.sgx = TRY(parse_stored(text()).context("the SGX of a VM in the database"));
    record.core_note = text();
    record.image_metadata = text();
    return record;
}

}  // namespace

int64_t wall_clock_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

Result<std::string> make_instance_id() {
    const auto random = TRY(crypto::random_array<9>());
    return "i-" + codec::hex_encode(random).substr(0, 17);
}

Result<Store> Store::open(const std::string& path) {
    auto database = TRY(Database::open(path));
    Store store(std::move(database));
    TRY(store.migrate().context(path));
    TRY(store.load_instance_id());
    return store;
}

Result<void> Store::migrate() {
    auto query = TRY(database_.prepare("PRAGMA user_version"));
    TRY(query.step());
    const int64_t version = query.integer(0);
    TRY(query.run());
    if (version > kSchemaVersion)
        return fail(ErrorCode::VersionMismatch, "the database has schema " + std::to_string(version) +
                                                    ", this alcoved knows " + std::to_string(kSchemaVersion));
    if (version == kSchemaVersion) return {};
    auto transaction = TRY(Transaction::begin(database_));
    if (version < 1) TRY(database_.execute(kSchema1));
    if (version < 2) TRY(database_.execute(kSchema2));
    if (version < 3) TRY(database_.execute(kSchema3));
    if (version < 4) TRY(database_.execute(kSchema4));
    if (version < 5) TRY(database_.execute(kSchema5));
    if (version < 6) TRY(database_.execute(kSchema6));
    if (version < 7) TRY(database_.execute(kSchema7));
    if (version < 8) TRY(database_.execute(kSchema8));
    if (version < 9) TRY(database_.execute(kSchema9));
    TRY(database_.execute("PRAGMA user_version = " + std::to_string(kSchemaVersion)));
    return transaction.commit();
}

Result<void> Store::load_instance_id() {
    auto query = TRY(database_.prepare("SELECT instance_id FROM host"));
    if (TRY(query.step())) {
        instance_id_ = query.text(0);
        return query.run();
    }
    instance_id_ = TRY(make_instance_id());
    auto transaction = TRY(Transaction::begin(database_));
    auto insert = TRY(database_.prepare("INSERT INTO host VALUES (1, ?, 0)"));
    TRY(insert.bind(1, std::string_view(instance_id_)).run());
    return transaction.commit();
}

Result<std::vector<Store::Saved>> Store::load() const {
    std::vector<Saved> result;
    auto query = TRY(database_.prepare("SELECT * FROM vms ORDER BY created_ms, id"));
    while (TRY(query.step())) {
        auto record = TRY(read_record(query));
        Saved saved{.record = std::move(record), .grant = {}};
        saved.grant.owner = saved.record.id;
        saved.grant.pages = saved.record.pages;
        saved.grant.policy = saved.record.policy;
        auto leases = TRY(database_.prepare(
            "SELECT node, cores, memory_bytes, epc_bytes, hardware_epc_bytes FROM leases WHERE vm = ? "
            "ORDER BY node"));
        leases.bind(1, std::string_view(saved.record.id));
        while (TRY(leases.step())) {
            auto cores = TRY(parse_core_list(leases.text(1)));
            saved.grant.nodes.push_back({.node = host::NumaNode{static_cast<uint32_t>(leases.integer(0))},
                                         .cores = std::move(cores),
                                         .memory_bytes = static_cast<uint64_t>(leases.integer(2)),
                                         .epc_bytes = static_cast<uint64_t>(leases.integer(3)),
                                         .hardware_epc_bytes = static_cast<uint64_t>(leases.integer(4))});
        }
        result.push_back(std::move(saved));
    }
    return result;
}

Result<void> Store::write_record(const VmRecord& record) {
    auto statement = TRY(database_.prepare(
        "INSERT INTO vms VALUES "
        "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
        "ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state, ready = "
        "excluded.ready, cid = excluded.cid, vcpus = excluded.vcpus, memory_bytes = excluded.memory_bytes, "
        "debug = excluded.debug, image_bytes = excluded.image_bytes, "
        "heartbeat = excluded.heartbeat, ready_ms = excluded.ready_ms, ended_ms = excluded.ended_ms, "
        "measurements = excluded.measurements, signer = excluded.signer, not_before = excluded.not_before, "
        "not_after = excluded.not_after, app_signalled = excluded.app_signalled, app_value = "
        "excluded.app_value, "
        "reason = excluded.reason, detail = excluded.detail, vmm_pid = excluded.vmm_pid, "
        "exit_status = excluded.exit_status, error_code = excluded.error_code, "
        "error_message = excluded.error_message, restarts = excluded.restarts, enclave_policy = "
        "excluded.enclave_policy, sgx = excluded.sgx, core_note = excluded.core_note, image_metadata = "
        "excluded.image_metadata"));
    int index = 1;
    const auto add = [&](auto value) { statement.bind(index++, value); };
    add(std::string_view(record.id));
    add(std::string_view(record.name));
    add(state_name(record.state));
    add(record.ready);
    add(static_cast<uint32_t>(record.heartbeat));
    add(record.cid);
    add(record.vcpus);
    add(record.memory_bytes);
    add(host::to_string(record.pages));
    add(host::to_string(record.policy));
    add(record.debug);
    add(record.image_bytes);
    add(record.vmm_slot);
    add(record.created_ms);
    add(record.ready_ms);
    add(record.ended_ms);
    // A parameter that is not bound is NULL.
    if (record.measurements) statement.bind(index, ByteView(pack(*record.measurements)));
    if (record.signature) {
        statement.bind(index + 1, std::string_view(record.signature->subject));
        statement.bind(index + 2, record.signature->not_before);
        statement.bind(index + 3, record.signature->not_after);
    }
    if (record.app_exit) {
        statement.bind(index + 4, record.app_exit->signalled);
        statement.bind(index + 5, record.app_exit->value);
    }
    index += 6;
    add(std::string_view(record.reason));
    add(std::string_view(record.detail));
    add(record.vmm_pid);
    add(record.exit_status);
    if (record.error) {
        add(static_cast<uint32_t>(record.error->code));
        add(std::string_view(record.error->message));
    } else {
        index += 2;
    }
    add(api::role_name(record.role));
    add(record.restarts);
    const std::string disks = codec::json::dump(to_json(record.disks));
    add(std::string_view(disks));
    add(std::string_view(record.parent));
    add(record.slot_uid);
    add(record.enclaves);
    const std::string networks = codec::json::dump(to_json(record.networks));
    add(std::string_view(networks));
    add(host::to_string(record.enclave_policy));
    const std::string sgx = stored_text(record.sgx);
    add(std::string_view(sgx));
    add(std::string_view(record.core_note));
    add(std::string_view(record.image_metadata));
    return statement.run();
}

Result<void> Store::write_event(const Event& event) {
    if (event.kind.empty()) return {};
    auto statement =
        TRY(database_.prepare("INSERT INTO events (time_ms, vm, kind, detail) VALUES (?, ?, ?, ?)"));
    statement.bind(1, event.time_ms).bind(2, std::string_view(event.vm));
    statement.bind(3, std::string_view(event.kind)).bind(4, std::string_view(event.detail));
    TRY(statement.run());
    auto prune =
        TRY(database_.prepare("DELETE FROM events WHERE sequence <= (SELECT max(sequence) FROM events) - ?"));
    return prune.bind(1, kKeptEvents).run();
}

Result<void> Store::add(const std::vector<Saved>& vms) {
    auto transaction = TRY(Transaction::begin(database_));
    for (const auto& vm : vms) {
        TRY(write_record(vm.record));
        TRY(write_lease(vm.grant));
        TRY(write_event({.sequence = 0,
                         .time_ms = vm.record.created_ms,
                         .vm = vm.record.id,
                         .kind = "state",
                         .detail = std::string(state_name(vm.record.state))}));
    }
    return transaction.commit();
}

Result<void> Store::write_lease(const host::Grant& grant) {
    auto before = TRY(database_.prepare("DELETE FROM leases WHERE vm = ?"));
    TRY(before.bind(1, std::string_view(grant.owner)).run());
    for (const auto& node : grant.nodes) {
        auto statement = TRY(database_.prepare("INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?)"));
        statement.bind(1, std::string_view(grant.owner)).bind(2, node.node.value);
        statement.bind(3, std::string_view(core_list(node.cores))).bind(4, node.memory_bytes);
        statement.bind(5, node.epc_bytes).bind(6, node.hardware_epc_bytes);
        TRY(statement.run());
    }
    return {};
}

Result<void> Store::save_leases(const std::vector<host::Grant>& grants) {
    auto transaction = TRY(Transaction::begin(database_, Outlives::ItsProcess));
    for (const auto& grant : grants)
        TRY(write_lease(grant));
    return transaction.commit();
}

Result<void> Store::save_memory(const VmRecord& record, const std::vector<host::Grant>& grants) {
    auto transaction = TRY(Transaction::begin(database_, Outlives::ItsProcess));
    auto statement = TRY(database_.prepare("UPDATE vms SET memory_bytes = ? WHERE id = ?"));
    TRY(statement.bind(1, record.memory_bytes).bind(2, std::string_view(record.id)).run());
    for (const auto& grant : grants)
        TRY(write_lease(grant));
    return transaction.commit();
}

Result<void> Store::save(const VmRecord& record, const Event& event) {
    auto transaction = TRY(Transaction::begin(database_));
    TRY(write_record(record));
    TRY(write_event(event));
    return transaction.commit();
}

Result<void> Store::save_and_free(const VmRecord& record, const Event& event) {
    auto transaction = TRY(Transaction::begin(database_));
    TRY(write_record(record));
    auto statement = TRY(database_.prepare("DELETE FROM leases WHERE vm = ?"));
    TRY(statement.bind(1, std::string_view(record.id)).run());
    TRY(write_event(event));
    return transaction.commit();
}

Result<void> Store::remove(const std::string& id, const Event& event) {
    auto transaction = TRY(Transaction::begin(database_));
    auto statement = TRY(database_.prepare("DELETE FROM vms WHERE id = ?"));
    TRY(statement.bind(1, std::string_view(id)).run());
    TRY(write_event(event));
    return transaction.commit();
}

Result<std::vector<Event>> Store::events(uint64_t since, size_t limit) const {
    auto query =
        TRY(database_.prepare("SELECT sequence, time_ms, vm, kind, detail FROM events "
                              "WHERE sequence > ? ORDER BY sequence LIMIT ?"));
    query.bind(1, std::min<uint64_t>(since, INT64_MAX)).bind(2, static_cast<uint64_t>(limit));
    std::vector<Event> result;
    while (TRY(query.step())) {
        result.push_back({.sequence = static_cast<uint64_t>(query.integer(0)),
                          .time_ms = query.integer(1),
                          .vm = query.text(2),
                          .kind = query.text(3),
                          .detail = query.text(4)});
    }
    return result;
}

Result<uint64_t> Store::next_cid(uint64_t first) {
    auto transaction = TRY(Transaction::begin(database_));
    auto query =
        TRY(database_.prepare("UPDATE host SET next_cid = max(next_cid, ?) + 1 RETURNING next_cid - 1"));
    query.bind(1, first);
    TRY(query.step());
    const auto cid = static_cast<uint64_t>(query.integer(0));
    TRY(query.run());
    TRY(transaction.commit());
    return cid;
}

}  // namespace alcove::daemon

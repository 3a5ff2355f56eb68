// SPDX-License-Identifier: Apache-2.0
#include "daemon/store.hpp"

#include <gtest/gtest.h>

#include "daemon/fake_host_test.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::daemon {
namespace {

VmRecord full_record(const std::string& id) {
    VmRecord record;
    record.id = id;
    record.name = "web";
    record.state = VmState::Running;
    record.ready = true;
    record.heartbeat = HeartbeatAnswer::HostProgram;
    record.cid = 0xfffffffe;
    record.vcpus = 4;
    record.memory_bytes = 512_GiB;
    record.pages = host::PageSize::Size2M;
    record.policy = host::CpuPolicy::Shared;
    record.core_note = "it's not to be had";
    record.debug = true;
    record.image_bytes = 32_GiB;
    record.vmm_slot = 999;
    record.created_ms = 1'700'000'000'000;
    record.ready_ms = 1'700'000'000'001;
    record.ended_ms = 1'700'000'000'002;
    record.image_metadata = R"({"ImageName":"it's \"me\""})";
    record.measurements = Measurements{};
    record.measurements->pcr0.fill(1);
    record.measurements->pcr8.fill(8);
    record.signature = ImageSignature{.subject = "CN=me", .not_before = 5, .not_after = 6};
    record.app_exit = AppExit{.signalled = true, .value = 11};
    record.reason = "power_off";
    record.detail = "it's \"over\"; DROP TABLE enclaves";
    record.vmm_pid = 77;
    record.exit_status = 139;
    record.error = StoredError{.code = ErrorCode::ImageCrc, .message = "bad"};
    record.role = api::VmRole::Primary;
    record.restarts = 3;
    record.disks = {{.bytes = 512_GiB, .read_only = true, .serial = ""},
                    {.bytes = 1, .read_only = false, .serial = "vmd-\"x\""}};
    record.networks = {{.kind = api::NetworkKind::Stream, .mac = {2, 0, 0, 0, 0, 1}}};
    record.sgx = sgx::Configuration{};
    record.sgx->epc = {{.size_mib = 4}, {.size_mib = 2, .base = memory::GuestAddress(8_GiB), .node = 1}};
    record.sgx->key_root = sgx::KeyRoot::Host;
    return record;
}

host::Grant grant_of(const std::string& id) {
    host::Grant grant{.owner = id,
                      .pages = host::PageSize::Size2M,
                      .policy = host::CpuPolicy::Shared,
                      .nodes = {},
                      .cpus = {}};
    grant.nodes = {{.node = {0}, .cores = {{2}, {4}}, .memory_bytes = 2_MiB, .epc_bytes = 6_MiB},
                   {.node = {3}, .cores = {}, .memory_bytes = 4_MiB, .hardware_epc_bytes = 3_MiB}};
    return grant;
}

class StoreTest : public testing::Test {
  protected:
    Store open() { return Store::open(directory_.path() + "/db").value(); }
    TestDirectory directory_;
};

TEST_F(StoreTest, ARecordComesBackWhole) {
    const auto record = full_record("i-1-enc1");
    open().add({{.record = record, .grant = grant_of(record.id)}}).value();

    const auto saved = open().load().value();

    ASSERT_EQ(saved.size(), 1U);
    const auto& back = saved[0].record;
    EXPECT_EQ(back.name, record.name);
    EXPECT_EQ(back.state, record.state);
    EXPECT_EQ(back.ready, record.ready);
    EXPECT_EQ(back.heartbeat, record.heartbeat);
    EXPECT_EQ(back.cid, record.cid);
    EXPECT_EQ(back.memory_bytes, record.memory_bytes);
    EXPECT_EQ(back.pages, record.pages);
    EXPECT_EQ(back.policy, record.policy);
    EXPECT_EQ(back.core_note, record.core_note);
    EXPECT_EQ(back.image_metadata, record.image_metadata);
    EXPECT_EQ(back.debug, record.debug);
    EXPECT_EQ(back.vmm_slot, record.vmm_slot);
    EXPECT_EQ(back.ended_ms, record.ended_ms);
    EXPECT_EQ(back.measurements, record.measurements);
    EXPECT_EQ(back.signature, record.signature);
    EXPECT_EQ(back.app_exit, record.app_exit);
    EXPECT_EQ(back.detail, record.detail);
    EXPECT_EQ(back.exit_status, record.exit_status);
    EXPECT_EQ(back.error, record.error);
    EXPECT_EQ(back.role, record.role);
    EXPECT_EQ(back.restarts, record.restarts);
    EXPECT_EQ(back.disks, record.disks);
    EXPECT_EQ(back.networks, record.networks);
    EXPECT_EQ(back.sgx, record.sgx);
    EXPECT_EQ(saved[0].grant, grant_of(record.id));
}

TEST_F(StoreTest, WhatIsNotKnownYetComesBackAsNothing) {
    VmRecord record;
    record.id = "i-1-enc1";
    open().add({{.record = record, .grant = {}}}).value();

    const auto back = open().load().value().at(0).record;

    EXPECT_FALSE(back.measurements);
    EXPECT_FALSE(back.signature);
    EXPECT_FALSE(back.app_exit);
    EXPECT_FALSE(back.error);
}

TEST_F(StoreTest, TheInstanceIdStays) {
    const auto first = open().instance_id();
    const auto second = open().instance_id();

    EXPECT_EQ(first, second);
    EXPECT_EQ(first.size(), 19U);
    EXPECT_TRUE(first.starts_with("i-"));
    EXPECT_EQ(first.find_first_not_of("0123456789abcdef", 2), std::string::npos);
}

TEST_F(StoreTest, ASecondDaemonIsKeptOut) {
    const auto first = open();

    EXPECT_EQ(Store::open(directory_.path() + "/db").error().code(), ErrorCode::Busy);
}

TEST_F(StoreTest, ANewerSchemaIsRefused) {
    open();
    Database::open(directory_.path() + "/db").value().execute("PRAGMA user_version = 1000").value();

    EXPECT_EQ(Store::open(directory_.path() + "/db").error().code(), ErrorCode::VersionMismatch);
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsRefused) {
    sys::replace_file(directory_.path() + "/db", as_byte_view(std::string(5000, 'x')), 0600).value();

    EXPECT_FALSE(Store::open(directory_.path() + "/db"));
}

TEST_F(StoreTest, FreeingRemovesTheLeaseOnly) {
    auto store = open();
    auto record = full_record("i-1-enc1");
    store.add({{.record = record, .grant = grant_of(record.id)}}).value();
    record.state = VmState::Stopped;

    store.save_and_free(record, {}).value();

    const auto saved = store.load().value();
    ASSERT_EQ(saved.size(), 1U);
    EXPECT_TRUE(saved[0].grant.nodes.empty());
    EXPECT_EQ(saved[0].record.state, VmState::Stopped);
}

TEST_F(StoreTest, MemoryThatPassesChangesTheSizeOfOneAndTheLeasesOfBoth) {
    auto store = open();
    auto from = full_record("i-1");
    auto to = full_record("i-1-enc1");
    to.memory_bytes = 0;
    store.add({{.record = from, .grant = grant_of(from.id)}, {.record = to, .grant = {.owner = to.id}}})
        .value();
    auto left = grant_of(from.id);
    left.nodes.pop_back();
    auto passed = grant_of(to.id);
    passed.nodes.erase(passed.nodes.begin());
    to.memory_bytes = 4_MiB;
    to.cid = 5;  // nothing else is stored with it

    store.save_memory(to, {left, passed}).value();

    const auto saved = store.load().value();
    ASSERT_EQ(saved.size(), 2U);
    EXPECT_EQ(saved[0].record.memory_bytes, from.memory_bytes);
    EXPECT_EQ(saved[0].grant.nodes, left.nodes);
    EXPECT_EQ(saved[1].record.memory_bytes, 4_MiB);
    EXPECT_EQ(saved[1].record.cid, from.cid);
    EXPECT_EQ(saved[1].grant.nodes, passed.nodes);
}

TEST_F(StoreTest, RemovingARecordRemovesItsLeases) {
    auto store = open();
    const auto record = full_record("i-1-enc1");
    store.add({{.record = record, .grant = grant_of(record.id)}}).value();

    store.remove(record.id, {}).value();
    store.add({{.record = record, .grant = {}}}).value();

    EXPECT_TRUE(store.load().value().at(0).grant.nodes.empty());
}

TEST_F(StoreTest, EventsAreNumberedAndPruned) {
    auto store = open();
    const auto record = full_record("i-1-enc1");
    store.add({{.record = record, .grant = {}}}).value();
    store.save(record).value();
    store.save(record, {.sequence = 0, .time_ms = 2, .vm = record.id, .kind = "ready", .detail = "b"})
        .value();

    EXPECT_EQ(store.events(0, 10).value().size(), 2U);
    EXPECT_EQ(store.events(0, 1).value().at(0).detail, state_name(record.state));
    const auto later = store.events(1, 10).value();
    ASSERT_EQ(later.size(), 1U);
    EXPECT_EQ(later[0].sequence, 2U);
    EXPECT_EQ(later[0].kind, "ready");
}

TEST_F(StoreTest, CidsCountUpOverRestarts) {
    EXPECT_EQ(open().next_cid(16).value(), 16U);
    EXPECT_EQ(open().next_cid(16).value(), 17U);
    EXPECT_EQ(open().next_cid(100).value(), 100U);
    EXPECT_EQ(open().next_cid(16).value(), 101U);
}

TEST(Sqlite, ATransactionThatIsNotCommittedIsUndone) {
    const TestDirectory directory;
    auto database = Database::open(directory.path() + "/db").value();
    database.execute("CREATE TABLE t (a INTEGER)").value();
    {
        auto transaction = Transaction::begin(database).value();
        database.execute("INSERT INTO t VALUES (1)").value();
    }

    auto query = database.prepare("SELECT count(*) FROM t").value();
    ASSERT_TRUE(query.step().value());
    EXPECT_EQ(query.integer(0), 0);
}

TEST(Sqlite, AStatementThatIsKeptIsEmptyForWhoTakesItNext) {
    const TestDirectory directory;
    auto database = Database::open(directory.path() + "/db").value();
    database.execute("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2)").value();
    const auto prepare = [&] { return database.prepare("SELECT a, ? FROM t ORDER BY a").value(); };
    {
        auto one = prepare();
        one.bind(1, 7U);
        ASSERT_TRUE(one.step().value());
        auto other = prepare();  // while the first is under way
        ASSERT_TRUE(other.step().value());
        EXPECT_EQ(other.integer(0), 1);
        ASSERT_TRUE(one.step().value());
        EXPECT_EQ(one.integer(0), 2);
        EXPECT_EQ(one.integer(1), 7);
    }

    for (int i = 0; i < 3; ++i) {
        auto again = prepare();
        ASSERT_TRUE(again.step().value());
        EXPECT_EQ(again.integer(0), 1);
        EXPECT_TRUE(again.is_null(1));
    }
}

TEST(Sqlite, AStatementMayOutliveItsDatabase) {
    const TestDirectory directory;
    auto database = std::make_unique<Database>(Database::open(directory.path() + "/db").value());
    const auto statement = database->prepare("SELECT 1").value();
    database.reset();
}

// As the release before primary VMs made it.
constexpr std::string_view kSchema1 = R"sql(
CREATE TABLE host (one INTEGER PRIMARY KEY CHECK (one = 1), instance_id TEXT NOT NULL, next_cid INTEGER NOT NULL);
CREATE TABLE enclaves (id TEXT PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL, ready INTEGER NOT NULL,
    heartbeat INTEGER NOT NULL, cid INTEGER NOT NULL, vcpus INTEGER NOT NULL, memory_bytes INTEGER NOT NULL,
    pages TEXT NOT NULL, policy TEXT NOT NULL, debug INTEGER NOT NULL, image_bytes INTEGER NOT NULL,
    vmm_slot INTEGER NOT NULL, created_ms INTEGER NOT NULL, ready_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,
    measurements BLOB, signer TEXT, not_before INTEGER, not_after INTEGER, app_signalled INTEGER,
    app_value INTEGER, reason TEXT NOT NULL, detail TEXT NOT NULL, vmm_pid INTEGER NOT NULL,
    exit_status INTEGER NOT NULL, error_code INTEGER, error_message TEXT) WITHOUT ROWID;
CREATE TABLE leases (enclave TEXT NOT NULL REFERENCES enclaves (id) ON DELETE CASCADE, node INTEGER NOT NULL,
    cores TEXT NOT NULL, memory_bytes INTEGER NOT NULL, PRIMARY KEY (enclave, node)) WITHOUT ROWID;
CREATE TABLE events (sequence INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, enclave TEXT NOT NULL,
    kind TEXT NOT NULL, detail TEXT NOT NULL);
INSERT INTO host VALUES (1, 'i-0123456789abcdef0', 20);
INSERT INTO enclaves VALUES ('i-1-enc1', 'web', 'running', 1, 1, 16, 2, 67108864, '4k', 'dedicated', 0, 8, 3,
    5, 6, 0, NULL, NULL, NULL, NULL, NULL, NULL, '', '', 77, 0, NULL, NULL);
INSERT INTO leases VALUES ('i-1-enc1', 0, '1', 67108864);
INSERT INTO events VALUES (9, 5, 'i-1-enc1', 'state', 'running');
PRAGMA user_version = 1;
)sql";

TEST_F(StoreTest, ADatabaseFromBeforePrimaryVmsGoesOn) {
    Database::open(directory_.path() + "/db").value().execute(kSchema1).value();

    auto store = open();
    const auto saved = store.load().value();
    const auto events = store.events(0, 10).value();

    EXPECT_EQ(store.instance_id(), "i-0123456789abcdef0");
    ASSERT_EQ(saved.size(), 1U);
    EXPECT_EQ(saved[0].record.role, api::VmRole::Enclave);
    EXPECT_TRUE(saved[0].record.disks.empty());
    EXPECT_TRUE(saved[0].record.networks.empty());
    EXPECT_FALSE(saved[0].record.sgx);
    ASSERT_EQ(saved[0].grant.nodes.size(), 1U);
    EXPECT_EQ(saved[0].grant.hardware_epc_bytes(), 0U);
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].vm, "i-1-enc1");
    store.remove("i-1-enc1", {}).value();
    EXPECT_TRUE(store.load().value().empty());
}

}  // namespace
}  // namespace alcove::daemon

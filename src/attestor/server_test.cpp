// SPDX-License-Identifier: Apache-2.0
#include "attestor/server.hpp"

#include <ctime>

#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "attestor/document_rate.hpp"
#include "attestor/test_folder.hpp"
#include "support/system.hpp"

namespace alcove::attestor {
namespace {

namespace wire = api::attestor;
using std::chrono::milliseconds;
using std::chrono::seconds;

wire::Open open_now(const std::string& vm_id) {
    wire::Open open{};
    open.vm_id = api::VmId::Field::of(vm_id);
    open.module_id = api::TextField<128>::of("i-test-enc0");
    open.host_time_ms = static_cast<uint64_t>(std::time(nullptr)) * 1000;
    return open;
}

class ServerTest : public testing::Test {
  protected:
    void start(Server::Options options) {
        Server::Listeners listeners;
        listeners.main = sys::unix_listen(folder / "attestor.sock", SOCK_SEQPACKET, 0600).value();
        listeners.shims = sys::unix_listen(folder / "shims.sock", SOCK_SEQPACKET, 0600).value();
        server =
            Server::create(*loop, std::move(listeners),
                           Authority::ephemeral(HostKind::Production, std::chrono::system_clock::now).value(),
                           SessionStore::open(folder / "run").value(), std::move(options))
                .value();
    }
    void start() { start({.brokers = {::getuid()}, .keepers = {::getuid()}}); }
    void turn(int times = 8) {
        for (int i = 0; i < times; ++i)
            ASSERT_TRUE(loop->run_once(milliseconds(0)));
    }
    Channel connect(const std::string& name = "attestor.sock") {
        auto socket = sys::unix_connect(folder / name, SOCK_SEQPACKET).value();
        EXPECT_TRUE(sys::set_non_blocking(socket, true));
        turn();
        return Channel(std::move(socket));
    }
    // Greets, opens and seals a VM.
    Channel connect_vm(const std::string& vm_id) {
        auto channel = connect();
        EXPECT_TRUE(channel.send(api::encode_hello(api::Protocol::Attestor, wire::kVersions)));
        EXPECT_TRUE(channel.send(api::encode(open_now(vm_id))));
        EXPECT_TRUE(channel.send(api::encode(wire::Measured{})));
        turn();
        EXPECT_EQ(type_of(channel), api::Hello::kType);
        EXPECT_EQ(type_of(channel), wire::Done::kType);
        const auto sealed = channel.receive().value();
        token = api::decode<wire::Sealed>(api::open_envelope(sealed.data).value()).value().token;
        return channel;
    }
    // What a shim does for a VM that has lost its connection, and the type of the answer.
    Channel resume(uint16_t& answer) {
        auto channel = connect("shims.sock");
        EXPECT_TRUE(channel.send(api::encode_hello(api::Protocol::Attestor, wire::kVersions)));
        EXPECT_TRUE(channel.send(api::encode(wire::Resume{.request = 1, .reserved = {}, .token = token})));
        turn();
        EXPECT_EQ(type_of(channel), api::Hello::kType);
        answer = type_of(channel);
        return channel;
    }
    // The next message's type; 0 when there is none.
    static uint16_t type_of(const Channel& channel) {
        const auto message = channel.receive();
        return message ? api::open_envelope(message->data)->type : uint16_t{0};
    }
    size_t stored() const { return SessionStore::open(folder / "run")->names()->size(); }

    const TestFolder folder;
    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    std::unique_ptr<Server> server;
    const Bytes attest = wire::encode_attest(1, {});
    ResumeToken token{};  // of the VM connected last
};

TEST_F(ServerTest, ServesAVmOverItsSocket) {
    start();
    const auto vm = connect_vm("vm-1");

    ASSERT_TRUE(vm.send(attest));
    turn();

    EXPECT_EQ(type_of(vm), wire::Document::kType);
    EXPECT_EQ(server->counters().documents, 1U);
}

TEST_F(ServerTest, AUserWhoMayNotAskIsSentAway) {
    start({.brokers = {::getuid() + 1}, .readers = {::getuid() + 2}});

    const auto channel = connect();

    EXPECT_EQ(channel.receive().error().code(), ErrorCode::ConnectionLost);
    EXPECT_EQ(server->counters().refused_peers, 1U);
    EXPECT_EQ(server->connections(), 0U);
}

TEST_F(ServerTest, AReaderCanNotOpenAVm) {
    start({.brokers = {::getuid() + 1}, .readers = {::getuid()}});
    const auto channel = connect();

    ASSERT_TRUE(channel.send(api::encode_hello(api::Protocol::Attestor, wire::kVersions)));
    ASSERT_TRUE(channel.send(api::encode(wire::GetStatus{})));
    ASSERT_TRUE(channel.send(api::encode(open_now("vm-1"))));
    turn();

    EXPECT_EQ(type_of(channel), api::Hello::kType);
    EXPECT_EQ(type_of(channel), wire::Status::kType);
    EXPECT_EQ(type_of(channel), api::Failed::kType);
    EXPECT_EQ(channel.receive().error().code(), ErrorCode::ConnectionLost);
}

TEST_F(ServerTest, ABrokenProtocolClosesThatConnectionOnly) {
    start();
    const auto good = connect_vm("vm-1");
    const auto bad = connect_vm("vm-2");

    ASSERT_TRUE(bad.send(api::encode(wire::Measured{})));
    turn();
    ASSERT_TRUE(good.send(attest));
    turn();

    EXPECT_EQ(type_of(bad), api::Failed::kType);
    EXPECT_EQ(bad.receive().error().code(), ErrorCode::ConnectionLost);
    EXPECT_EQ(type_of(good), wire::Document::kType);
    EXPECT_EQ(server->counters().violations, 1U);
    EXPECT_EQ(server->connections(), 1U);
    EXPECT_EQ(stored(), 1U);
}

// Each connection gets one request handled per turn, however many it has sent.
TEST_F(ServerTest, AFloodDelaysOthersByOneRequest) {
    start();
    const auto flooding = connect_vm("vm-1");
    const auto other = connect_vm("vm-2");
    int queued = 0;
    while (queued < 100 && flooding.send(attest))
        ++queued;
    ASSERT_GT(queued, 5);

    ASSERT_TRUE(other.send(attest));
    uint16_t answer = 0;
    for (int turns = 0; turns < 100 && answer == 0; ++turns) {
        turn(1);
        answer = type_of(other);
    }

    EXPECT_EQ(answer, wire::Document::kType);
    EXPECT_LE(server->counters().documents, 3U);
}

TEST_F(ServerTest, WhoDoesNotReadIsNotRead) {
    start();
    const auto lazy = connect_vm("vm-1");
    for (int round = 0; round < 200; ++round) {
        while (lazy.send(attest)) {
        }
        turn(1);
    }
    const auto handled = server->counters().documents;

    while (lazy.send(attest)) {
    }
    turn(50);

    EXPECT_EQ(server->counters().documents, handled);
    EXPECT_EQ(server->connections(), 1U);
    while (type_of(lazy) == wire::Document::kType) {
    }
    turn(50);
    EXPECT_GT(server->counters().documents, handled);
}

TEST_F(ServerTest, SilenceIsNotWaitedFor) {
    start({.brokers = {::getuid()}, .greeting_timeout = milliseconds(1)});
    const auto silent = connect();
    ASSERT_EQ(type_of(silent), api::Hello::kType);

    ASSERT_TRUE(loop->run_once(milliseconds(100)));

    EXPECT_EQ(silent.receive().error().code(), ErrorCode::ConnectionLost);
    EXPECT_EQ(server->connections(), 0U);
}

TEST_F(ServerTest, TheShimsSocketIsForShimsAndNobodyElse) {
    start({.brokers = {::getuid()}, .readers = {::getuid()}, .keepers = {::getuid() + 1}});

    const auto channel = connect("shims.sock");

    EXPECT_EQ(channel.receive().error().code(), ErrorCode::ConnectionLost);
    EXPECT_EQ(server->counters().refused_peers, 1U);
}

TEST_F(ServerTest, AShimIsNobodyAtTheMainSocket) {
    start({.brokers = {}, .keepers = {::getuid()}});

    const auto channel = connect();

    EXPECT_EQ(channel.receive().error().code(), ErrorCode::ConnectionLost);
    EXPECT_EQ(server->counters().refused_peers, 1U);
}

TEST_F(ServerTest, AVmWhoseConnectionEndsIsTakenUpByItsShim) {
    start();
    auto vm = connect_vm("vm-1");
    ASSERT_TRUE(vm.send(api::encode(wire::LockPcr{.request = 1, .index = 20})));
    turn();
    ASSERT_EQ(type_of(vm), wire::Done::kType);
    vm.release();
    turn();
    ASSERT_EQ(server->connections(), 0U);

    uint16_t answer = 0;
    const auto again = resume(answer);
    ASSERT_EQ(answer, wire::Done::kType);
    ASSERT_TRUE(again.send(api::encode(wire::LockPcr{.request = 2, .index = 20})));
    ASSERT_TRUE(again.send(attest));
    turn();

    EXPECT_EQ(type_of(again), wire::Rejected::kType);
    EXPECT_EQ(type_of(again), wire::Document::kType);
}

TEST_F(ServerTest, ASecondConnectionOfAVmIsRefused) {
    start();
    const auto vm = connect_vm("vm-1");

    uint16_t answer = 0;
    const auto second = resume(answer);
    ASSERT_TRUE(vm.send(attest));
    turn();

    EXPECT_EQ(answer, api::Failed::kType);
    EXPECT_EQ(second.receive().error().code(), ErrorCode::ConnectionLost);
    EXPECT_EQ(type_of(vm), wire::Document::kType);
}

TEST_F(ServerTest, AVmNobodyComesBackForIsForgotten) {
    start({.brokers = {::getuid()}, .keepers = {::getuid()}, .keep_lost = milliseconds(20)});
    auto vm = connect_vm("vm-1");
    vm.release();
    turn();
    EXPECT_EQ(server->connections(), 0U);

    for (int i = 0; i < 1000 && stored() > 0; ++i)
        ASSERT_TRUE(loop->run_once(milliseconds(10)));

    EXPECT_EQ(stored(), 0U);
    uint16_t answer = 0;
    const auto late = resume(answer);
    EXPECT_EQ(answer, api::Failed::kType);
    connect_vm("vm-1");
}

// The time that a VM has begins with the loss, also with its second.
TEST_F(ServerTest, AVmThatCameBackIsNotForgotten) {
    start({.brokers = {::getuid()}, .keepers = {::getuid()}, .keep_lost = milliseconds(500)});
    auto vm = connect_vm("vm-1");
    vm.release();
    turn();
    uint16_t answer = 0;
    const auto again = resume(answer);
    ASSERT_EQ(answer, wire::Done::kType);

    const auto until = std::chrono::steady_clock::now() + milliseconds(700);
    while (std::chrono::steady_clock::now() < until)
        ASSERT_TRUE(loop->run_once(milliseconds(10)));

    EXPECT_EQ(stored(), 1U);
    ASSERT_TRUE(again.send(attest));
    turn();
    EXPECT_EQ(type_of(again), wire::Document::kType);
}

TEST_F(ServerTest, AVmThatBreaksTheProtocolIsNotTakenUpAgain) {
    start();
    const auto vm = connect_vm("vm-1");
    ASSERT_TRUE(vm.send(api::encode(wire::Measured{})));
    turn();

    uint16_t answer = 0;
    const auto again = resume(answer);

    EXPECT_EQ(answer, api::Failed::kType);
    EXPECT_EQ(stored(), 0U);
}

TEST_F(ServerTest, AStoppedServerLeavesRunningVmsForTheNext) {
    start();
    const auto vm = connect_vm("vm-1");

    server.reset();

    EXPECT_EQ(stored(), 1U);
}

TEST_F(ServerTest, StateNobodyComesBackForIsRemoved) {
    start();
    const auto vm = connect_vm("vm-1");
    server.reset();

    start({.brokers = {::getuid()}, .resume_within = seconds(0)});
    ASSERT_TRUE(loop->run_once(milliseconds(10)));

    EXPECT_EQ(stored(), 0U);
}

TEST_F(ServerTest, ARestartedServerTakesUpWhatTheFormerLeft) {
    start();
    auto vm = connect_vm("vm-1");
    server.reset();
    EXPECT_EQ(vm.receive().error().code(), ErrorCode::ConnectionLost);

    start();
    uint16_t answer = 0;
    const auto again = resume(answer);
    ASSERT_EQ(answer, wire::Done::kType);
    ASSERT_TRUE(again.send(attest));
    turn();

    EXPECT_EQ(type_of(again), wire::Document::kType);
}

TEST_F(ServerTest, TooManyConnectionsAreRefused) {
    start({.brokers = {::getuid()}, .max_connections = 2});
    const auto one = connect();
    const auto two = connect();

    const auto three = connect();

    EXPECT_EQ(server->connections(), 2U);
    EXPECT_EQ(three.receive().error().code(), ErrorCode::ConnectionLost);
}

TEST(DocumentRate, CountsDocuments) {
    const TestFolder folder;

    const auto rate = measure_document_rate(folder / "run", milliseconds(50));

    ASSERT_TRUE(rate) << rate.error().to_string();
    EXPECT_GT(rate->documents, 0U);
    EXPECT_GE(rate->elapsed, milliseconds(50));
}

}  // namespace
}  // namespace alcove::attestor

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

wire::Open open_message(const std::string& vm_id) {
    wire::Open open{};
    open.vm_id = api::VmId::Field::of(vm_id);
    open.module_id = api::TextField<128>::of("i-test-enc0");
    open.host_time_ms = static_cast<uint64_t>(std::time(nullptr)) * 1000;
    return open;
}

class ServerTest : public testing::Test {
  protected:
    void start(Server::Options options) {
        const auto listener_path = folder / "attestor.sock";
        server =
            Server::create(*loop, sys::unix_listen(listener_path, SOCK_SEQPACKET, 0600).value(),
                           Authority::ephemeral(HostKind::Production, std::chrono::system_clock::now).value(),
                           SessionStore::open(folder / "run").value(), std::move(options))
                .value();
    }
    void start() { start({.brokers = {::getuid()}}); }
    void turn(int times = 8) {
        for (int i = 0; i < times; ++i)
            ASSERT_TRUE(loop->run_once(milliseconds(0)));
    }
    Channel connect() {
        auto socket = sys::unix_connect(folder / "attestor.sock", SOCK_SEQPACKET).value();
        EXPECT_TRUE(sys::set_non_blocking(socket, true));
        turn();
        return Channel(std::move(socket));
    }
    // Greets, opens and seals a VM.
    Channel connect_vm(const std::string& vm_id) {
        auto channel = connect();
        EXPECT_TRUE(channel.send(api::encode_hello(api::Protocol::Attestor, wire::kVersions)));
        EXPECT_TRUE(channel.send(api::encode(open_message(vm_id))));
        EXPECT_TRUE(channel.send(api::encode(wire::Measured{})));
        turn();
        EXPECT_EQ(type_of(channel), api::Hello::kType);
        EXPECT_EQ(type_of(channel), wire::Done::kType);
        EXPECT_EQ(type_of(channel), wire::Sealed::kType);
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
    ASSERT_TRUE(channel.send(api::encode(open_message("vm-1"))));
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

TEST_F(ServerTest, AVmThatEndsLeavesNothing) {
    start();
    auto vm = connect_vm("vm-1");
    ASSERT_EQ(stored(), 1U);

    vm.release();
    turn();

    EXPECT_EQ(stored(), 0U);
    EXPECT_EQ(server->connections(), 0U);
    connect_vm("vm-1");
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

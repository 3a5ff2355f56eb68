// SPDX-License-Identifier: Apache-2.0
#include "vsock/host_backend.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/system.hpp"
#include "vsock/guest_fake.hpp"

namespace alcove::vsock {
namespace {

constexpr Port kGuestPort{1234};
constexpr Port kHostPort{5000};

// Speaks for the guest packet by packet.
class HostBackendTest : public testing::Test {
  protected:
    explicit HostBackendTest(HostBackend::Options options = {}) : vsock_(std::move(options)) {}
    static HostBackend::Options impatient() {
        const std::chrono::milliseconds soon(150);
        return {.patience = {.handshake = soon, .close = soon, .drain = soon, .credit = soon}};
    }

    void send(Op op, uint32_t flags = 0, Port guest_port = kGuestPort) {
        auto header = FakeGuest::header(op, guest_port, kHostPort);
        header.flags = flags;
        send(header);
    }
    void send(const Header& header, ByteView payload = {}) {
        ASSERT_TRUE(vsock_.guest.send(header, payload));
        vsock_.machine.run();
    }
    void send_data(std::string_view text, Port guest_port = kGuestPort) {
        auto header = FakeGuest::header(Op::RW, guest_port, kHostPort);
        header.len = static_cast<uint32_t>(text.size());
        send(header, as_byte_view(text));
    }
    // The operations of the packets that came since the last time.
    std::vector<Op> ops() {
        std::vector<Op> result;
        for (const auto& packet : vsock_.guest.receive())
            result.push_back(packet.op());
        return result;
    }
    // A connection of the guest's, with the host program's end.
    Fd& open_connection() {
        send(Op::REQUEST);
        EXPECT_THAT(ops(), testing::ElementsAre(Op::RESPONSE));
        return vsock_.opener.programs.back();
    }
    // What the host program can read now.
    static std::string read_all(const Fd& fd) {
        Bytes bytes(1024 * 1024);
        std::string text;
        while (true) {
            const auto transfer = sys::read_some(fd, bytes);
            if (!transfer || transfer->bytes == 0) return text;
            text += as_text(ByteView(bytes).first(transfer->bytes));
        }
    }
    static bool is_at_end(const Fd& fd) {
        uint8_t byte = 0;
        const auto transfer = sys::read_some(fd, {&byte, 1});
        return !transfer || (transfer->bytes == 0 && !transfer->would_block);
    }
    void write(const Fd& fd, std::string_view text) {
        ASSERT_TRUE(sys::write_all(fd, as_byte_view(text)));
        vsock_.machine.run();
    }
    size_t connections() { return vsock_.backend.connection_count(); }
    const TrafficCounters& traffic() { return vsock_.backend.traffic(); }

    FakeVsock vsock_;
};

class RootPortTest : public HostBackendTest {
  protected:
    RootPortTest() : HostBackendTest({.root_ports = {kHostPort}}) {}
};

TEST_F(RootPortTest, IsForPortsThatOnlyRootInsideCanHave) {
    send(Op::REQUEST, 0, Port{1024});
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RST));
    EXPECT_EQ(connections(), 0U);

    send(Op::REQUEST, 0, Port{1023});
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RESPONSE));
}

TEST(HostBackendPorts, SomePortsOfAContextIdMayBeSomebodyElses) {
    FakeVsock some({.host_cids = {Cid::Parent}, .only_ports = {Port{9000}}});
    FakeVsock all({.host_cids = {Cid::Parent}});

    EXPECT_TRUE(some.backend.serves(Cid::Parent, Port{9000}));
    EXPECT_FALSE(some.backend.serves(Cid::Parent, Port{9001}));
    EXPECT_FALSE(some.backend.serves(Cid::Host, Port{9000}));
    EXPECT_TRUE(all.backend.serves(Cid::Parent, Port{1}));
}

// ---- opening

TEST_F(HostBackendTest, ARequestIsAnsweredOnceSomebodyTookIt) {
    vsock_.opener.answer = FakeOpener::Answer::Later;
    send(Op::REQUEST);
    EXPECT_TRUE(ops().empty());
    EXPECT_THAT(vsock_.opener.ports, testing::ElementsAre(kHostPort));

    auto pair = sys::socket_pair(SOCK_STREAM).value();
    vsock_.opener.waiting[0](std::move(pair.first));
    vsock_.machine.run();

    const auto packets = vsock_.guest.receive();
    ASSERT_EQ(packets.size(), 1U);
    EXPECT_EQ(packets[0].op(), Op::RESPONSE);
    EXPECT_EQ(packets[0].header.buf_alloc, WindowBudget::kMaxWindow);
    EXPECT_EQ(packets[0].header.src_cid, 3U);
    EXPECT_EQ(vsock_.backend.counters().accepted, 1U);
}

TEST_F(HostBackendTest, TheHostAnswersToEachOfItsNames) {
    send(FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort, Cid::Host));

    const auto packets = vsock_.guest.receive();
    ASSERT_EQ(packets.size(), 1U);
    EXPECT_EQ(packets[0].op(), Op::RESPONSE);
    EXPECT_EQ(packets[0].header.src_cid, 2U);
}

TEST_F(HostBackendTest, ARefusedRequestIsAnsweredWithRst) {
    vsock_.opener.answer = FakeOpener::Answer::NotFound;
    send(Op::REQUEST);

    EXPECT_THAT(ops(), testing::ElementsAre(Op::RST));
    EXPECT_EQ(connections(), 0U);
    EXPECT_EQ(vsock_.backend.counters().refused, 1U);
}

TEST_F(HostBackendTest, ARequestTakenBackFindsItsSocketClosed) {
    vsock_.opener.answer = FakeOpener::Answer::Later;
    send(Op::REQUEST);
    send(Op::RST);
    EXPECT_EQ(connections(), 0U);

    auto pair = sys::socket_pair(SOCK_STREAM).value();
    vsock_.opener.waiting[0](std::move(pair.first));
    vsock_.machine.run();

    EXPECT_TRUE(ops().empty());
    EXPECT_TRUE(is_at_end(pair.second));
}

TEST_F(HostBackendTest, ASecondRequestForAConnectionResetsIt) {
    open_connection();
    send(Op::REQUEST);

    EXPECT_THAT(ops(), testing::ElementsAre(Op::RST));
    EXPECT_EQ(connections(), 0U);
}

TEST_F(HostBackendTest, PacketsForNoConnectionAreAnsweredWithRst) {
    for (const Op op : {Op::RESPONSE, Op::SHUTDOWN, Op::RW, Op::CREDIT_UPDATE, Op::CREDIT_REQUEST,
                        Op::INVALID, static_cast<Op>(99)}) {
        send(op);
        EXPECT_THAT(ops(), testing::ElementsAre(Op::RST)) << static_cast<int>(op);
    }
}

class SmallTableTest : public HostBackendTest {
  protected:
    SmallTableTest() : HostBackendTest({.max_connections = 2}) {}
};

TEST_F(SmallTableTest, RequestsBeyondTheTableAreRefused) {
    for (uint32_t port = 1; port <= 3; ++port)
        send(Op::REQUEST, 0, Port{port});

    EXPECT_THAT(ops(), testing::ElementsAre(Op::RESPONSE, Op::RESPONSE, Op::RST));
    send(Op::RST, 0, Port{1});
    send(Op::REQUEST, 0, Port{3});
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RESPONSE));
    EXPECT_FALSE(vsock_.backend.connect(Fd(::open("/dev/null", O_RDWR)), Port{1}));
}

TEST_F(SmallTableTest, RequestsTakenBackCountUntilTheyAreAnswered) {
    vsock_.opener.answer = FakeOpener::Answer::Later;
    for (uint32_t port = 1; port <= 10; ++port) {
        send(Op::REQUEST, 0, Port{port});
        send(Op::RST, 0, Port{port});
    }

    EXPECT_EQ(vsock_.opener.waiting.size(), 2U);
    EXPECT_EQ(vsock_.backend.counters().refused, 8U);
}

// ---- data

TEST_F(HostBackendTest, DataGoesBothWays) {
    auto& program = open_connection();
    send_data("from the guest");
    EXPECT_EQ(read_all(program), "from the guest");

    write(program, "from the host");
    const auto packets = vsock_.guest.receive();
    ASSERT_EQ(packets.size(), 1U);
    EXPECT_EQ(packets[0].op(), Op::RW);
    EXPECT_EQ(as_text(packets[0].payload), "from the host");
    EXPECT_EQ(packets[0].header.fwd_cnt, 14U) << "credit rides along";
    EXPECT_EQ(traffic().bytes_to_host, 14U);
    EXPECT_EQ(traffic().bytes_to_guest, 13U);
    EXPECT_EQ(traffic().bytes_copied, 0U);
}

TEST_F(HostBackendTest, CreditIsToldAtHalfOfTheWindow) {
    auto& program = open_connection();
    const std::string part(64 * 1024, 'x');
    for (int i = 0; i < 3; ++i) {
        send_data(part);
        read_all(program);
        EXPECT_TRUE(ops().empty());
    }
    send_data(part);
    const auto packets = vsock_.guest.wait_for_packets();

    ASSERT_EQ(packets.size(), 1U);
    EXPECT_EQ(packets[0].op(), Op::CREDIT_UPDATE);
    EXPECT_EQ(packets[0].header.fwd_cnt, WindowBudget::kMaxWindow / 2);
}

TEST_F(HostBackendTest, ACreditRequestIsAnswered) {
    open_connection();
    send(Op::CREDIT_REQUEST);

    EXPECT_THAT(ops(), testing::ElementsAre(Op::CREDIT_UPDATE));
}

TEST_F(HostBackendTest, AProgramThatDoesNotReadBoundsWhatTheGuestMaySend) {
    auto& program = open_connection();
    const std::string part(64 * 1024, 'x');
    const auto is_there = [&] { return connections() == 1; };
    uint64_t sent = 0;
    for (; sent < 100 && is_there(); ++sent)
        send_data(part);

    EXPECT_FALSE(is_there()) << "a guest that ignores its credit is cut off";
    EXPECT_EQ(traffic().violations, 1U);
    EXPECT_LE(traffic().bytes_copied, WindowBudget::kMaxWindow);
    EXPECT_LT(sent, 40U);
    EXPECT_THAT(ops(), testing::Contains(Op::RST));
    read_all(program);
    EXPECT_TRUE(is_at_end(program));
}

TEST_F(HostBackendTest, WaitingBytesArriveWhenTheProgramReads) {
    auto& program = open_connection();
    std::string sent;
    while (vsock_.backend.buffered_bytes() == 0) {
        sent += std::string(10'000, static_cast<char>('a' + sent.size() / 10'000 % 26));
        send_data(std::string_view(sent).substr(sent.size() - 10'000));
    }
    send_data("end");

    std::string got;
    while (got.size() < sent.size() + 3) {
        const std::string part = read_all(program);
        ASSERT_FALSE(part.empty());
        got += part;
        vsock_.machine.run();
    }
    EXPECT_EQ(got, sent + "end");
    EXPECT_EQ(vsock_.backend.buffered_bytes(), 0U);
}

TEST_F(HostBackendTest, TheGuestsCreditBoundsWhatIsSentToIt) {
    auto request = FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort);
    request.buf_alloc = 100;
    send(request);
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RESPONSE));
    write(vsock_.opener.programs[0], std::string(250, 'y'));
    auto packets = vsock_.guest.receive();
    ASSERT_EQ(packets.size(), 1U);
    EXPECT_EQ(packets[0].payload.size(), 100U);

    auto update = FakeGuest::header(Op::CREDIT_UPDATE, kGuestPort, kHostPort);
    update.buf_alloc = 100;
    update.fwd_cnt = 60;
    send(update);
    packets = vsock_.guest.receive();
    ASSERT_EQ(packets.size(), 1U);
    EXPECT_EQ(packets[0].payload.size(), 60U);
}

class ImpatientTest : public HostBackendTest {
  protected:
    ImpatientTest() : HostBackendTest(impatient()) {}
};

TEST_F(ImpatientTest, AGuestThatKeepsSilentIsAskedForCredit) {
    auto request = FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort);
    request.buf_alloc = 10;
    send(request);
    write(vsock_.opener.programs[0], std::string(20, 'y'));
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RESPONSE, Op::RW));

    const auto packets = [&] {
        std::vector<Op> result;
        vsock_.machine.run_until([&] {
            result = ops();
            return !result.empty();
        });
        return result;
    }();
    EXPECT_THAT(packets, testing::ElementsAre(Op::CREDIT_REQUEST));
}

TEST_F(HostBackendTest, AGiantBufferOfTheGuestsIsHarmless) {
    auto request = FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort);
    request.buf_alloc = 0xffffffff;
    send(request);
    (void)ops();
    const std::string text(500'000, 'z');
    size_t written = 0;
    size_t received = 0;
    while (received < text.size()) {
        const auto transfer =
            sys::write_some(vsock_.opener.programs[0], as_byte_view(std::string_view(text).substr(written)));
        ASSERT_TRUE(transfer);
        written += transfer->bytes;
        vsock_.machine.run();
        for (const auto& packet : vsock_.guest.receive())
            received += packet.payload.size();
    }
    EXPECT_EQ(received, text.size());
}

TEST_F(HostBackendTest, AForwardCountFromTheFutureStopsTheStreamOnly) {
    auto& program = open_connection();
    auto update = FakeGuest::header(Op::CREDIT_UPDATE, kGuestPort, kHostPort);
    update.fwd_cnt = 1'000'000;
    send(update);
    write(program, "hello");

    EXPECT_TRUE(ops().empty());
    update.fwd_cnt = 0;
    send(update);
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RW));
}

TEST_F(HostBackendTest, WithoutReceiveBuffersDataStaysInTheSocket) {
    auto request = FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort);
    request.buf_alloc = 0xffffffff;
    send(request);
    auto& program = vsock_.opener.programs.back();
    vsock_.guest.set_refill(false);
    // The kernel takes what a socket holds; the rest waits with the program, not with us.
    const std::string text(4 * 1024 * 1024, 'q');
    size_t written = 0;
    while (true) {
        const auto transfer = sys::write_some(program, as_byte_view(std::string_view(text).substr(written)));
        vsock_.machine.run();
        if (transfer->would_block) break;
        written += transfer->bytes;
    }
    EXPECT_LT(written, text.size());
    EXPECT_EQ(vsock_.backend.buffered_bytes(), 0U);
    EXPECT_GE(vsock_.device.counters().receive_starved, 1U);
}

// ---- rules

TEST_F(HostBackendTest, UnknownOperationsResetTheirConnection) {
    for (const Op op : {Op::INVALID, static_cast<Op>(8), static_cast<Op>(0xffff)}) {
        open_connection();
        send(op);
        EXPECT_THAT(ops(), testing::ElementsAre(Op::RST)) << static_cast<int>(op);
        EXPECT_EQ(connections(), 0U);
    }
    EXPECT_EQ(traffic().violations, 3U);
}

TEST_F(HostBackendTest, DataBeforeTheAnswerResetsTheConnection) {
    vsock_.opener.answer = FakeOpener::Answer::Later;
    send(Op::REQUEST);
    send_data("too early");

    EXPECT_THAT(ops(), testing::ElementsAre(Op::RST));
    EXPECT_EQ(connections(), 0U);
}

TEST_F(HostBackendTest, DataAfterTheEndResetsTheConnection) {
    open_connection();
    send(Op::SHUTDOWN, shutdown_flag::SEND);
    send_data("too late");

    EXPECT_THAT(ops(), testing::ElementsAre(Op::RST));
}

TEST_F(HostBackendTest, AnAnswerThatWasNotAskedForResetsTheConnection) {
    open_connection();
    send(Op::RESPONSE);

    EXPECT_THAT(ops(), testing::ElementsAre(Op::RST));
}

TEST_F(HostBackendTest, StrayRepliesAreBounded) {
    vsock_.guest.set_refill(false);
    for (uint32_t i = 0; i < 1000; ++i)
        send(Op::RW, 0, Port{i});

    EXPECT_EQ(vsock_.backend.counters().replies_dropped, 1000U - 256 - 256);
    EXPECT_EQ(connections(), 0U);
}

TEST_F(HostBackendTest, ControlPacketsOfAConnectionDoNotPileUp) {
    open_connection();
    vsock_.guest.set_refill(false);
    for (int i = 0; i < 2000; ++i)
        send(Op::CREDIT_REQUEST);
    (void)vsock_.guest.receive();
    EXPECT_EQ(vsock_.guest.driver().queue(queue_index::kTx).used_index(), 2001U) << "always drained";

    vsock_.guest.set_refill(true);
    vsock_.machine.run();
    EXPECT_THAT(ops(), testing::ElementsAre(Op::CREDIT_UPDATE)) << "one stands for all";
}

// ---- ends

TEST_F(HostBackendTest, TheGuestsCloseIsAnsweredWithRst) {
    auto& program = open_connection();
    send_data("last words");
    send(Op::SHUTDOWN, shutdown_flag::BOTH);

    EXPECT_THAT(ops(), testing::ElementsAre(Op::RST));
    EXPECT_EQ(connections(), 0U);
    EXPECT_EQ(read_all(program), "last words");
    EXPECT_TRUE(is_at_end(program));
}

TEST_F(HostBackendTest, WhatTheGuestLeftBehindIsStillDelivered) {
    auto& program = open_connection();
    uint64_t sent = 0;
    for (; vsock_.backend.buffered_bytes() == 0; sent += 10'000)
        send_data(std::string(10'000, 'x'));
    send(Op::SHUTDOWN, shutdown_flag::BOTH);
    EXPECT_THAT(ops(), testing::Contains(Op::RST));
    EXPECT_EQ(connections(), 1U) << "the host's side lingers";

    // The guest uses the port again meanwhile.
    send(Op::REQUEST);
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RESPONSE));

    uint64_t got = 0;
    while (got < sent) {
        const auto part = read_all(vsock_.opener.programs[0]);
        ASSERT_FALSE(part.empty());
        got += part.size();
        vsock_.machine.run();
    }
    EXPECT_TRUE(is_at_end(vsock_.opener.programs[0]));
    EXPECT_EQ(got, sent);
    EXPECT_EQ(connections(), 1U) << "only the new one";
    (void)program;
}

TEST_F(HostBackendTest, TheGuestsRstTakesEverythingBack) {
    auto& program = open_connection();
    while (vsock_.backend.buffered_bytes() == 0)
        send_data(std::string(10'000, 'x'));
    send(Op::RST);

    EXPECT_EQ(connections(), 0U);
    EXPECT_GT(traffic().bytes_dropped, 0U);
    read_all(program);
    EXPECT_TRUE(is_at_end(program));
}

TEST_F(HostBackendTest, TheGuestsHalfCloseEndsTheProgramsInput) {
    auto& program = open_connection();
    send_data("question");
    send(Op::SHUTDOWN, shutdown_flag::SEND);
    EXPECT_EQ(read_all(program), "question");
    EXPECT_TRUE(is_at_end(program));

    write(program, "answer");
    const auto packets = vsock_.guest.receive();
    ASSERT_EQ(packets.size(), 1U);
    EXPECT_EQ(as_text(packets[0].payload), "answer");
}

TEST_F(HostBackendTest, AProgramThatLeftWhileTheGuestGivesNoCreditIsNoWork) {
    auto request = FakeGuest::header(Op::REQUEST, kGuestPort, kHostPort);
    request.buf_alloc = 4;
    send(request);
    auto& program = vsock_.opener.programs.back();
    write(program, "more than four bytes");
    auto end = FakeGuest::header(Op::SHUTDOWN, kGuestPort, kHostPort);
    end.flags = shutdown_flag::SEND;
    end.buf_alloc = 4;
    send(end);
    program.reset();
    vsock_.machine.run();

    // Nothing moves until the guest gives credit, and the loop is at rest.
    EXPECT_EQ(connections(), 1U);
    for (int round = 0; round < 10; ++round)
        EXPECT_EQ(vsock_.machine.loop().run_once(std::chrono::milliseconds(0)).value(), 0U);
    auto update = FakeGuest::header(Op::CREDIT_UPDATE, kGuestPort, kHostPort);
    update.buf_alloc = 100;
    (void)ops();
    send(update);
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RW, Op::SHUTDOWN));
}

TEST_F(HostBackendTest, AHalfCloseComesBehindWhatWaits) {
    auto& program = open_connection();
    while (vsock_.backend.buffered_bytes() == 0)
        send_data(std::string(10'000, 'x'));
    send(Op::SHUTDOWN, shutdown_flag::SEND);

    for (int i = 0; i < 100 && !is_at_end(program); ++i) {
        read_all(program);
        vsock_.machine.run();
    }
    EXPECT_TRUE(is_at_end(program));
    EXPECT_EQ(traffic().bytes_dropped, 0U);
    EXPECT_EQ(connections(), 1U) << "the other direction is open";
}

TEST_F(HostBackendTest, TheGuestsRefusalToReceiveFailsTheProgramsWrites) {
    auto& program = open_connection();
    send(Op::SHUTDOWN, shutdown_flag::RCV);

    EXPECT_FALSE(sys::write_some(program, as_byte_view("x")));
    send_data("still sending");
    EXPECT_EQ(read_all(program), "still sending");
}

TEST_F(HostBackendTest, TheProgramsHalfCloseBecomesAShutdown) {
    auto& program = open_connection();
    ASSERT_TRUE(sys::write_all(program, as_byte_view("question")));
    ::shutdown(program.get(), SHUT_WR);
    vsock_.machine.run();

    const auto packets = vsock_.guest.receive();
    ASSERT_EQ(packets.size(), 2U);
    EXPECT_EQ(as_text(packets[0].payload), "question");
    EXPECT_EQ(packets[1].op(), Op::SHUTDOWN);
    EXPECT_EQ(packets[1].header.flags, shutdown_flag::SEND);
    send_data("answer");
    EXPECT_EQ(read_all(program), "answer");
}

TEST_F(HostBackendTest, TheProgramsCloseBecomesAShutdownAndWaitsForRst) {
    auto& program = open_connection();
    ASSERT_TRUE(sys::write_all(program, as_byte_view("bye")));
    program.reset();
    vsock_.machine.run();

    const auto packets = vsock_.guest.receive();
    ASSERT_EQ(packets.size(), 2U);
    EXPECT_EQ(as_text(packets[0].payload), "bye");
    EXPECT_EQ(packets[1].op(), Op::SHUTDOWN);
    EXPECT_EQ(packets[1].header.flags, shutdown_flag::BOTH);
    EXPECT_EQ(connections(), 1U);
    send_data("on its way");
    send(Op::RST);
    EXPECT_TRUE(ops().empty());
    EXPECT_EQ(connections(), 0U);
}

TEST_F(HostBackendTest, TheGuestsShutdownAlsoEndsAClosedConnection) {
    open_connection().reset();
    vsock_.machine.run();
    EXPECT_THAT(ops(), testing::ElementsAre(Op::SHUTDOWN));

    send(Op::SHUTDOWN, shutdown_flag::BOTH);
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RST));
    EXPECT_EQ(connections(), 0U);
}

TEST_F(ImpatientTest, AnOpenerThatNeverAnswersIsNotWaitedFor) {
    vsock_.opener.answer = FakeOpener::Answer::Later;
    send(Op::REQUEST);

    EXPECT_TRUE(vsock_.machine.run_until([&] { return connections() == 0; }));
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RST));
}

TEST_F(ImpatientTest, AGuestThatNeverAnswersARequestIsReset) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    ASSERT_TRUE(vsock_.backend.connect(std::move(pair.second), Port{77}));

    EXPECT_TRUE(vsock_.machine.run_until([&] { return connections() == 0; }));
    EXPECT_THAT(ops(), testing::ElementsAre(Op::REQUEST, Op::RST));
}

TEST_F(ImpatientTest, AProgramThatNeverReadsTheRestIsClosed) {
    auto& program = open_connection();
    while (vsock_.backend.buffered_bytes() == 0)
        send_data(std::string(10'000, 'x'));
    send(Op::SHUTDOWN, shutdown_flag::BOTH);
    EXPECT_EQ(connections(), 1U);

    EXPECT_TRUE(vsock_.machine.run_until([&] { return connections() == 0; }));
    EXPECT_GT(traffic().bytes_dropped, 0U);
    read_all(program);
    EXPECT_TRUE(is_at_end(program));
}

TEST_F(ImpatientTest, AGuestThatNeverAnswersAShutdownIsReset) {
    open_connection().reset();
    vsock_.machine.run();
    EXPECT_THAT(ops(), testing::ElementsAre(Op::SHUTDOWN));

    EXPECT_TRUE(vsock_.machine.run_until([&] { return connections() == 0; }));
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RST));
}

TEST_F(HostBackendTest, BytesForAProgramThatLeftAreDroppedAndCredited) {
    auto& program = open_connection();
    while (vsock_.backend.buffered_bytes() == 0)
        send_data(std::string(10'000, 'x'));
    program.reset();
    vsock_.machine.run();

    EXPECT_EQ(vsock_.backend.buffered_bytes(), 0U);
    EXPECT_GT(traffic().bytes_dropped, 0U);
    const auto seen = ops();
    EXPECT_EQ(seen.back(), Op::SHUTDOWN);
}

// ---- host programs

TEST_F(HostBackendTest, AHostProgramIsConnectedWhenTheGuestAccepts) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    sys::set_non_blocking(pair.first, true).value();
    ASSERT_TRUE(sys::write_all(pair.first, as_byte_view("sent early")));
    ASSERT_TRUE(vsock_.backend.connect(std::move(pair.second), Port{77}));
    const auto request = vsock_.guest.receive().at(0);
    EXPECT_EQ(request.op(), Op::REQUEST);
    EXPECT_EQ(request.header.dst_port, 77U);
    EXPECT_EQ(request.header.src_cid, 3U);
    EXPECT_EQ(read_all(pair.first), "");

    auto response = FakeGuest::header(Op::RESPONSE, Port{77}, to_port(request.header.src_port));
    send(response);

    EXPECT_EQ(read_all(pair.first), "OK " + std::to_string(request.header.src_port) + "\n");
    const auto packets = vsock_.guest.receive();
    ASSERT_EQ(packets.size(), 1U);
    EXPECT_EQ(as_text(packets[0].payload), "sent early");
    EXPECT_EQ(packets[0].header.fwd_cnt, 0U) << "our line is not the guest's data";
}

TEST_F(HostBackendTest, AHostProgramIsClosedWhenTheGuestRefuses) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    sys::set_non_blocking(pair.first, true).value();
    ASSERT_TRUE(vsock_.backend.connect(std::move(pair.second), Port{77}));
    const auto request = vsock_.guest.receive().at(0);

    send(FakeGuest::header(Op::RST, Port{77}, to_port(request.header.src_port)));

    EXPECT_EQ(read_all(pair.first), "");
    EXPECT_TRUE(is_at_end(pair.first));
    EXPECT_EQ(connections(), 0U);
}

TEST_F(HostBackendTest, AHostProgramThatLeavesEarlyTakesItsRequestBack) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    ASSERT_TRUE(vsock_.backend.connect(std::move(pair.second), Port{77}));
    EXPECT_THAT(ops(), testing::ElementsAre(Op::REQUEST));
    pair.first.reset();
    vsock_.machine.run();

    EXPECT_THAT(ops(), testing::ElementsAre(Op::RST));
    EXPECT_EQ(connections(), 0U);
}

TEST_F(HostBackendTest, WithoutADriverNobodyConnects) {
    vsock_.guest.driver().reset();
    auto pair = sys::socket_pair(SOCK_STREAM).value();

    const auto result = vsock_.backend.connect(std::move(pair.second), Port{77});

    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::ConnectionLost);
}

TEST_F(HostBackendTest, AResetOfTheDriverClosesEverything) {
    auto& program = open_connection();
    vsock_.guest.driver().reset();

    EXPECT_EQ(connections(), 0U);
    EXPECT_TRUE(is_at_end(program));
    vsock_.guest.start();
    send(Op::REQUEST);
    EXPECT_THAT(ops(), testing::ElementsAre(Op::RESPONSE));
}

}  // namespace
}  // namespace alcove::vsock

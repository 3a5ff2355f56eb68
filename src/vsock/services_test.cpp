// SPDX-License-Identifier: Apache-2.0
#include "vsock/services.hpp"

#include <gtest/gtest.h>

#include "support/system.hpp"
#include "vsock/guest_fake.hpp"

namespace alcove::vsock {
namespace {

using End = ServiceReport::End;
using Kind = ServiceReport::Kind;
using Answerer = ServiceReport::Answerer;

TEST(StatusLine, OnlyTheExactFormsAreTaken) {
    EXPECT_EQ(parse_status_line("exit 0"), std::pair(End::Exit, 0U));
    EXPECT_EQ(parse_status_line("exit 255"), std::pair(End::Exit, 255U));
    EXPECT_EQ(parse_status_line("signal 9"), std::pair(End::Signal, 9U));
    for (const auto* line : {"", "exit", "exit ", "exit 256", "exit -1", "exit 1x", "signal 0", "signal 128",
                             "Exit 0", "exit 0\r"})
        EXPECT_FALSE(parse_status_line(line)) << line;
}

class ServicesTest : public testing::Test {
  protected:
    ServicesTest() { programs_.answer = FakeOpener::Answer::NotFound; }

    // The socket that the service gives to a guest's connection.
    Result<Fd> open(Port port) {
        Result<Fd> result = fail(ErrorCode::Internal, "not called");
        services_.open(port, [&](Result<Fd> socket) { result = std::move(socket); });
        if (result) sys::set_non_blocking(*result, true).value();
        return result;
    }
    void write(const Fd& fd, ByteView bytes) {
        ASSERT_TRUE(sys::write_all(fd, bytes));
        machine_.run();
    }

    virtio::FakeMachine machine_;
    FakeOpener programs_;
    std::vector<ServiceReport> reports_;
    Services services_{machine_.loop(), programs_,
                       [this](const ServiceReport& report) { reports_.push_back(report); }};
};

TEST_F(ServicesTest, TheHeartbeatIsAnswered) {
    const auto socket = open(kHeartbeatPort).value();
    write(socket, Bytes{kHeartbeatByte});

    Bytes answer(2);
    const auto transfer = sys::read_some(socket, answer).value();
    EXPECT_EQ(transfer.bytes, 1U);
    EXPECT_EQ(answer[0], kHeartbeatByte);
    EXPECT_EQ(sys::read_some(socket, answer).value().bytes, 0U) << "closed";
    ASSERT_EQ(reports_.size(), 1U);
    EXPECT_EQ(reports_[0].kind, Kind::Heartbeat);
    EXPECT_EQ(reports_[0].answerer, Answerer::BuiltIn);
    EXPECT_TRUE(reports_[0].is_valid);
}

TEST_F(ServicesTest, AWrongHeartbeatIsNotAnswered) {
    const auto socket = open(kHeartbeatPort).value();
    write(socket, Bytes{0xb8});

    Bytes answer(1);
    EXPECT_FALSE(sys::read_some(socket, answer).value().would_block);
    ASSERT_EQ(reports_.size(), 1U);
    EXPECT_FALSE(reports_[0].is_valid);
}

TEST_F(ServicesTest, AProgramThatListensComesFirst) {
    programs_.answer = FakeOpener::Answer::Accept;
    const auto socket = open(kHeartbeatPort).value();
    write(socket, Bytes{kHeartbeatByte});

    Bytes seen(1);
    EXPECT_EQ(sys::read_some(programs_.programs[0], seen).value().bytes, 1U);
    ASSERT_EQ(reports_.size(), 1U);
    EXPECT_EQ(reports_[0].answerer, Answerer::HostProgram);
}

TEST_F(ServicesTest, OtherRefusalsStayRefusals) {
    programs_.answer = FakeOpener::Answer::Later;
    Result<Fd> result = fail(ErrorCode::Internal, "not called");
    services_.open(kHeartbeatPort, [&](Result<Fd> socket) { result = std::move(socket); });
    programs_.waiting[0](fail(ErrorCode::PermissionDenied, "no"));

    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::PermissionDenied);
    EXPECT_TRUE(reports_.empty());
}

TEST_F(ServicesTest, OtherPortsAreNotTouched) {
    EXPECT_EQ(open(Port{9002}).error().code(), ErrorCode::NotFound);
}

TEST_F(ServicesTest, TheStatusOfTheApplicationIsReported) {
    const auto socket = open(kStatusPort).value();
    write(socket, as_byte_view("exit "));
    write(socket, as_byte_view("3\n"));

    ASSERT_EQ(reports_.size(), 1U);
    EXPECT_EQ(reports_[0].kind, Kind::Status);
    EXPECT_TRUE(reports_[0].is_valid);
    EXPECT_EQ(reports_[0].end, End::Exit);
    EXPECT_EQ(reports_[0].number, 3U);
    Bytes answer(1);
    EXPECT_EQ(sys::read_some(socket, answer).value().would_block, false) << "closed";
}

TEST_F(ServicesTest, WrongStatusLinesAreReportedAsSuch) {
    const auto long_line = open(kStatusPort).value();
    write(long_line, Bytes(Services::kMaxLine, 'x'));
    const auto cut_line = open(kStatusPort).value();
    write(cut_line, as_byte_view("gone\n"));
    {
        const auto unfinished = open(kStatusPort).value();
        write(unfinished, as_byte_view("exit 0"));
    }
    machine_.run();

    ASSERT_EQ(reports_.size(), 3U);
    for (const auto& report : reports_)
        EXPECT_FALSE(report.is_valid);
}

TEST_F(ServicesTest, ServicesAreBounded) {
    std::vector<Fd> sockets;
    for (size_t i = 0; i < Services::kMaxClients; ++i)
        sockets.push_back(open(kStatusPort).value());

    EXPECT_EQ(open(kStatusPort).error().code(), ErrorCode::LimitExceeded);
    sockets.pop_back();
    machine_.run();
    EXPECT_TRUE(open(kStatusPort));
}

TEST(ServicesThroughTheDevice, AGuestsHeartbeatComesBackOverVsock) {
    virtio::FakeMachine machine;
    FakeOpener programs;
    programs.answer = FakeOpener::Answer::NotFound;
    std::vector<ServiceReport> reports;
    Services services(machine.loop(), programs,
                      [&](const ServiceReport& report) { reports.push_back(report); });
    HostBackend backend(machine.loop(), services, {.guest_cid = FakeGuest::kCid});
    VsockDevice device(machine.loop(), FakeGuest::kCid, {&backend});
    FakeGuest guest(machine, device);
    GuestSockets sockets(guest);
    guest.start();
    auto& stream = sockets.connect(kHeartbeatPort);
    const auto run = [&] {
        do
            machine.run();
        while (sockets.poll() > 0);
    };
    run();
    ASSERT_TRUE(stream.is_open());

    stream.write(Bytes{kHeartbeatByte});
    run();

    EXPECT_EQ(stream.read(), Bytes{kHeartbeatByte});
    EXPECT_EQ(stream.peer_shutdown(), shutdown_flag::BOTH);
    EXPECT_EQ(reports.size(), 1U);
}

}  // namespace
}  // namespace alcove::vsock

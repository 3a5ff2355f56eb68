// SPDX-License-Identifier: Apache-2.0
#include "vsock/host_listener.hpp"

#include <filesystem>

#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/system.hpp"
#include "vsock/guest_fake.hpp"

namespace alcove::vsock {
namespace {

TEST(ConnectLine, OnlyTheExactFormIsTaken) {
    EXPECT_EQ(parse_connect_line("CONNECT 0"), Port{0});
    EXPECT_EQ(parse_connect_line("CONNECT 4294967294"), Port{4294967294});
    for (const auto* line :
         {"", "CONNECT", "CONNECT ", "CONNECT x", "CONNECT 1 ", "CONNECT  1", "CONNECT -1", "CONNECT +1",
          "CONNECT 4294967295", "CONNECT 4294967296", "connect 1", "CONNECT 1\r"})
        EXPECT_FALSE(parse_connect_line(line)) << line;
}

class HostListenerTest : public testing::Test {
  protected:
    HostListenerTest()
        : path_(std::filesystem::temp_directory_path() / ("alcove-vsock-" + std::to_string(::getpid()))),
          listener_(HostListener::create(vsock_.machine.loop(), vsock_.backend,
                                         sys::unix_listen(path_, SOCK_STREAM, 0600).value())
                        .value()) {
        vsock_.sockets.listen(Port{7});
    }
    ~HostListenerTest() override { std::filesystem::remove(path_); }

    Fd client(std::string_view text) {
        auto fd = sys::unix_connect(path_, SOCK_STREAM).value();
        sys::set_non_blocking(fd, true).value();
        EXPECT_TRUE(sys::write_all(fd, as_byte_view(text)));
        vsock_.run();
        return fd;
    }
    // What the client reads, "EOF" when it was closed, "" when nothing is there.
    std::string read(const Fd& fd) {
        vsock_.run();
        Bytes bytes(1000);
        const auto transfer = sys::read_some(fd, bytes);
        if (!transfer || (!transfer->would_block && transfer->bytes == 0)) return "EOF";
        return std::string(as_text(ByteView(bytes).first(transfer->bytes)));
    }

    FakeVsock vsock_;
    std::string path_;
    std::unique_ptr<HostListener> listener_;
};

TEST_F(HostListenerTest, AClientGetsTheStreamItAskedFor) {
    const auto fd = client("CONNECT 7\n");

    ASSERT_EQ(vsock_.sockets.accepted().size(), 1U);
    auto& stream = *vsock_.sockets.accepted()[0];
    EXPECT_EQ(read(fd), "OK " + std::to_string(number(stream.host_port())) + "\n");
    ASSERT_TRUE(sys::write_all(fd, as_byte_view("ping")));
    vsock_.run();
    EXPECT_EQ(as_text(stream.read()), "ping");
    stream.write(as_byte_view("pong"));
    EXPECT_EQ(read(fd), "pong");
}

TEST_F(HostListenerTest, ALineMayComeInPieces) {
    const auto fd = client("CONN");
    EXPECT_EQ(read(fd), "");
    ASSERT_TRUE(sys::write_all(fd, as_byte_view("ECT 7")));
    EXPECT_EQ(read(fd), "");
    ASSERT_TRUE(sys::write_all(fd, as_byte_view("\n")));

    EXPECT_TRUE(read(fd).starts_with("OK "));
}

TEST_F(HostListenerTest, WhatFollowsTheLineBelongsToTheStream) {
    const auto fd = client("CONNECT 7\nrest\nmore");

    EXPECT_TRUE(read(fd).starts_with("OK "));
    EXPECT_EQ(as_text(vsock_.sockets.accepted().at(0)->read()), "rest\nmore");
}

TEST_F(HostListenerTest, APortNobodyListensOnClosesTheClient) {
    EXPECT_EQ(read(client("CONNECT 8\n")), "EOF");
}

TEST_F(HostListenerTest, WrongLinesCloseTheClient) {
    EXPECT_EQ(read(client("HELLO 7\n")), "EOF");
    EXPECT_EQ(read(client(std::string(HostListener::kMaxLine, 'C'))), "EOF");
    EXPECT_EQ(listener_->counters().turned_away, 2U);
    EXPECT_TRUE(vsock_.sockets.accepted().empty());
}

TEST_F(HostListenerTest, WithoutADriverClientsAreClosed) {
    vsock_.guest.driver().reset();
    EXPECT_EQ(read(client("CONNECT 7\n")), "EOF");
}

TEST_F(HostListenerTest, ClientsThatWaitAreClosedWithTheListener) {
    const auto fd = client("CONN");
    listener_.reset();
    EXPECT_EQ(read(fd), "EOF");
}

TEST_F(HostListenerTest, SilentClientsAreBounded) {
    std::vector<Fd> clients;
    for (size_t i = 0; i < HostListener::kMaxWaiting + 3; ++i)
        clients.push_back(client(""));

    EXPECT_EQ(listener_->counters().turned_away, 3U);
    EXPECT_EQ(read(clients.back()), "EOF");
    EXPECT_EQ(read(clients.front()), "");
}

}  // namespace
}  // namespace alcove::vsock

// SPDX-License-Identifier: Apache-2.0
#include "enclave/port_opener.hpp"

#include <filesystem>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::enclave {
namespace {

using api::vmm::OpenPortStatus;

struct PortOpenerTest : testing::Test {
    std::filesystem::path folder;
    PortOpener::Clock::time_point now = PortOpener::Clock::now();

    PortOpenerTest() {
        std::string name = testing::TempDir() + "/alcove-ports-XXXXXX";
        folder = ::mkdtemp(name.data());
    }
    ~PortOpenerTest() override { std::filesystem::remove_all(folder); }

    PortOpener make() { return PortOpener(sys::open(folder, O_PATH | O_DIRECTORY).value()); }
    Fd listen(const std::string& name, int backlog = 16) {
        return sys::unix_listen(folder / name, SOCK_STREAM, 0600, backlog).value();
    }
};

TEST_F(PortOpenerTest, ReachesTheProgramThatListens) {
    const auto listener = listen("port-9000.sock");
    auto opener = make();

    const auto opened = opener.open(9000, now);

    ASSERT_EQ(opened.status, OpenPortStatus::Connected);
    const auto accepted = sys::accept(listener).value();
    ASSERT_TRUE(sys::write_all(opened.socket, as_byte_view("hello")));
    Bytes received(5);
    ASSERT_TRUE(sys::read_exact(accepted, received));
    EXPECT_EQ(as_text(received), "hello");
    EXPECT_NE(::fcntl(opened.socket.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(PortOpenerTest, RefusesWhereNobodyListens) {
    listen("port-1.sock");  // and closes again: the file stays
    auto opener = make();

    EXPECT_EQ(opener.open(1, now).status, OpenPortStatus::Refused);
    EXPECT_EQ(opener.open(2, now).status, OpenPortStatus::Refused);
}

TEST_F(PortOpenerTest, FollowsNoLink) {
    const auto elsewhere = listen("elsewhere.sock");
    std::filesystem::create_symlink(folder / "elsewhere.sock", folder / "port-5.sock");
    auto opener = make();

    EXPECT_EQ(opener.open(5, now).status, OpenPortStatus::Refused);
}

TEST_F(PortOpenerTest, ConnectsToNothingButSockets) {
    ASSERT_TRUE(sys::replace_file(folder / "port-6.sock", as_byte_view("file"), 0600));
    std::filesystem::create_directory(folder / "port-7.sock");
    ASSERT_EQ(::mkfifo((folder / "port-8.sock").c_str(), 0600), 0);
    auto opener = make();

    EXPECT_EQ(opener.open(6, now).status, OpenPortStatus::Refused);
    EXPECT_EQ(opener.open(7, now).status, OpenPortStatus::Refused);
    EXPECT_EQ(opener.open(8, now).status, OpenPortStatus::Refused);
}

TEST_F(PortOpenerTest, AFullBacklogIsNotWaitedFor) {
    const auto listener = listen("port-9.sock", 1);
    auto opener = make();
    std::vector<PortOpener::Opened> waiting;

    while (waiting.size() < 10)
        waiting.push_back(opener.open(9, now));

    EXPECT_EQ(waiting.front().status, OpenPortStatus::Connected);
    EXPECT_EQ(waiting.back().status, OpenPortStatus::TooMany);
}

TEST_F(PortOpenerTest, TheRateIsLimitedAndRecovers) {
    auto opener = make();
    uint32_t asked = 0;
    while (asked < 2 * PortOpener::kBurst && opener.open(1, now).status == OpenPortStatus::Refused)
        ++asked;

    EXPECT_EQ(asked, PortOpener::kBurst);
    EXPECT_EQ(opener.open(1, now).status, OpenPortStatus::TooMany);
    EXPECT_EQ(opener.open(1, now + std::chrono::seconds(1)).status, OpenPortStatus::Refused);
}

TEST_F(PortOpenerTest, LeaksNoDescriptor) {
    const auto listener = listen("port-9000.sock");
    auto opener = make();
    const auto count = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
    const auto before = count();

    for (uint32_t port = 8990; port < 9010; ++port)
        opener.open(port, now);

    EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace alcove::enclave

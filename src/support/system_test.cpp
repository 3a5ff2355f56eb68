// SPDX-License-Identifier: Apache-2.0
#include "support/system.hpp"

#include <filesystem>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/mapping.hpp"

namespace alcove {
namespace {

class SystemTest : public testing::Test {
  protected:
    SystemTest() {
        directory_ = std::filesystem::temp_directory_path() / ("alcove-" + std::to_string(::getpid()));
    }
    void SetUp() override { std::filesystem::create_directory(directory_); }
    void TearDown() override { std::filesystem::remove_all(directory_); }
    std::string path(const std::string& name) const { return directory_ / name; }

  private:
    std::filesystem::path directory_;
};

TEST_F(SystemTest, ReplaceFileGivesTheNewContentAndMode) {
    ASSERT_TRUE(sys::replace_file(path("key"), as_byte_view("old"), 0644));
    ASSERT_TRUE(sys::replace_file(path("key"), as_byte_view("new"), 0600));

    EXPECT_EQ(as_text(sys::read_file(path("key"), 100).value()), "new");
    EXPECT_EQ(sys::stat(sys::open(path("key"), O_RDONLY).value()).value().st_mode & 0777, 0600U);
}

TEST_F(SystemTest, ReadFileStopsAtItsLimit) {
    ASSERT_TRUE(sys::replace_file(path("big"), Bytes(100, 1), 0600));

    EXPECT_EQ(sys::read_file(path("big"), 99).error().code(), ErrorCode::LimitExceeded);
    EXPECT_TRUE(sys::read_file(path("big"), 100));
}

TEST_F(SystemTest, AMissingFileIsNotFound) {
    EXPECT_EQ(sys::open(path("none"), O_RDONLY).error().code(), ErrorCode::NotFound);
}

TEST_F(SystemTest, ASocketPathOverTheLimitSaysSo) {
    const auto result = sys::unix_listen(path(std::string(120, 'x')), SOCK_STREAM, 0600);

    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::PathTooLong);
}

TEST_F(SystemTest, UnixSocketsConnectAndNameTheirPeer) {
    auto listener = sys::unix_listen(path("s"), SOCK_STREAM, 0660).value();
    auto client = sys::unix_connect(path("s"), SOCK_STREAM).value();
    auto server = sys::accept(listener).value();

    EXPECT_EQ(sys::peer_credentials(server).value().pid, ::getpid());
    EXPECT_EQ(std::filesystem::status(path("s")).permissions(), std::filesystem::perms(0660));
}

TEST_F(SystemTest, WhoMayNotBlockIsToldOfAFullQueue) {
    auto listener = sys::unix_listen(path("s"), SOCK_SEQPACKET, 0660, 1).value();
    std::vector<Fd> waiting;
    auto last = sys::unix_connect(path("s"), SOCK_SEQPACKET | SOCK_NONBLOCK);
    for (; last && waiting.size() < 10; last = sys::unix_connect(path("s"), SOCK_SEQPACKET | SOCK_NONBLOCK))
        waiting.push_back(std::move(*last));

    ASSERT_FALSE(last);
    EXPECT_EQ(last.error().code(), ErrorCode::Busy);
    EXPECT_EQ(last.error().errno_value(), 0) << "it is there";
}

TEST_F(SystemTest, ASealedMemfdCanNotBeMappedWritable) {
    auto fd = sys::memfd("test").value();
    ASSERT_TRUE(sys::write_all(fd, as_byte_view("abc")));
    ASSERT_TRUE(sys::add_seals(fd, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));

    EXPECT_FALSE(Mapping::shared(fd, 3));
    EXPECT_EQ(as_text(Mapping::read_only(fd, 3).value().bytes()), "abc");
}

}  // namespace
}  // namespace alcove

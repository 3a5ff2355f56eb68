// SPDX-License-Identifier: Apache-2.0
#include "embedded/listening_socket.hpp"

#include <cstdlib>
#include <filesystem>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::embedded {
namespace {

class ListeningSockets : public testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/alcove-listening-test-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        folder_ = name;
        path_ = folder_ + "/port-7000.sock";
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    size_t files() const {
        const std::filesystem::directory_iterator all(folder_);
        return static_cast<size_t>(std::distance(begin(all), end(all)));
    }

    std::string folder_;
    std::string path_;
};

TEST_F(ListeningSockets, WhoReachesTheFolderConnects) {
    const auto listening = ListeningSocket::create(path_).value();
    struct stat info {};
    ASSERT_EQ(::stat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0666U);
    EXPECT_FALSE(listening.accept()->has_value());

    const auto client = sys::unix_connect(path_, SOCK_STREAM).value();
    const auto accepted = listening.accept().value();

    ASSERT_TRUE(accepted.has_value());
    sys::write_all(client, as_byte_view("x")).value();
    Bytes byte(1);
    sys::read_exact(*accepted, byte).value();
    EXPECT_EQ(byte[0], 'x');
    EXPECT_EQ(files(), 1U);
}

TEST_F(ListeningSockets, AProgramThatListensKeepsItsName) {
    const auto first = ListeningSocket::create(path_).value();

    EXPECT_EQ(ListeningSocket::create(path_).error().code(), ErrorCode::AlreadyExists);

    EXPECT_TRUE(first.is_in_place());
    EXPECT_FALSE(first.accept()->has_value());  // it was not even disturbed
    EXPECT_EQ(files(), 1U);
}

TEST_F(ListeningSockets, AProgramThatIsGoneDoesNot) {
    { const auto dead = sys::unix_listen(path_, SOCK_STREAM, 0600).value(); }
    ASSERT_EQ(files(), 1U);

    const auto listening = ListeningSocket::create(path_);

    ASSERT_TRUE(listening) << listening.error().to_string();
    EXPECT_TRUE(sys::unix_connect(path_, SOCK_STREAM));
    EXPECT_EQ(files(), 1U);
}

TEST_F(ListeningSockets, TheFileGoesWithTheSocket) {
    { const auto listening = ListeningSocket::create(path_).value(); }

    EXPECT_EQ(files(), 0U);
}

TEST_F(ListeningSockets, AFileThatIsNotItsOwnAnyMoreStays) {
    {
        const auto listening = ListeningSocket::create(path_).value();
        ASSERT_EQ(::unlink(path_.c_str()), 0);
        EXPECT_FALSE(listening.is_in_place());
        sys::replace_file(path_, as_byte_view("another's"), 0600).value();
        EXPECT_FALSE(listening.is_in_place());
    }

    EXPECT_EQ(files(), 1U);
}

TEST_F(ListeningSockets, WhatIsNoSocketIsLeftAlone) {
    sys::replace_file(path_, as_byte_view("a file"), 0600).value();

    EXPECT_EQ(ListeningSocket::create(path_).error().code(), ErrorCode::AlreadyExists);

    EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(ListeningSockets, AFolderThatIsNotThereIsSaid) {
    EXPECT_EQ(ListeningSocket::create(folder_ + "/gone/port-1.sock").error().code(), ErrorCode::NotFound);
}

}  // namespace
}  // namespace alcove::embedded

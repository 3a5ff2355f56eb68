// SPDX-License-Identifier: Apache-2.0
#include "daemon/spill_file.hpp"

#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::daemon {
namespace {

using testing::HasSubstr;

// On a disk, as a build tree is.
struct SpillFile : testing::Test {
    std::filesystem::path folder = std::filesystem::current_path() / ("spill-" + std::to_string(::getpid()));
    ~SpillFile() override { std::filesystem::remove_all(folder); }
};

TEST_F(SpillFile, HasNoNameAndAllItsSpace) {
    const auto file = make_spill_file(folder, 4_MiB);
    if (!file && file.error().code() == ErrorCode::Unsupported) GTEST_SKIP() << file.error().to_string();

    ASSERT_TRUE(file) << file.error().to_string();
    const auto info = sys::stat(*file).value();
    EXPECT_EQ(info.st_nlink, 0U);
    EXPECT_EQ(info.st_mode & 07777, 0600U);
    EXPECT_GE(static_cast<uint64_t>(info.st_blocks) * 512, 4_MiB);
    EXPECT_EQ(::fcntl(file->get(), F_GETFL) & O_ACCMODE, O_RDWR);
    EXPECT_EQ(::fcntl(file->get(), F_GETFD), FD_CLOEXEC);
    EXPECT_TRUE(std::filesystem::is_empty(folder));
    EXPECT_EQ(std::filesystem::status(folder).permissions(), std::filesystem::perms::owner_all);
}

TEST_F(SpillFile, ADiskThatIsTooSmallIsSaidWithARemedy) {
    const auto file = make_spill_file(folder, uint64_t{1} << 60);
    if (file.error().code() == ErrorCode::Unsupported) GTEST_SKIP() << file.error().to_string();

    EXPECT_EQ(file.error().code(), ErrorCode::NoSpace);
    EXPECT_THAT(file.error().to_string(), HasSubstr("--spill-dir"));
    EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST(SpillFileInMemory, IsRefused) {
    if (::access("/dev/shm", W_OK) != 0) GTEST_SKIP() << "no file system in memory is known here";
    const auto file = make_spill_file("/dev/shm", 4_MiB);

    EXPECT_EQ(file.error().code(), ErrorCode::Unsupported);
    EXPECT_THAT(file.error().to_string(), HasSubstr("is in memory"));
}

}  // namespace
}  // namespace alcove::daemon

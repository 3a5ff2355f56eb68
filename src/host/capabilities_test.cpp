// SPDX-License-Identifier: Apache-2.0
#include "host/capabilities.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::host {
namespace {

TEST(KvmDevice, OneThatIsNotThereOrThatNothingServesIsAbsent) {
    std::string folder = testing::TempDir() + "capabilities-XXXXXX";
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    const std::string socket = folder + "/socket";
    const auto listener = sys::unix_listen(socket, SOCK_STREAM, 0600).value();

    EXPECT_TRUE(kvm_is_absent(folder + "/none"));
    EXPECT_TRUE(kvm_is_absent(socket)) << "ENXIO, as a device without its module";
    std::filesystem::remove_all(folder);
}

TEST(KvmDevice, OneThatOpensOrIsRefusedForAnotherReasonIsNot) {
    EXPECT_FALSE(kvm_is_absent("/dev/null"));
    EXPECT_FALSE(kvm_is_absent("/")) << "EISDIR, as EACCES";
}

}  // namespace
}  // namespace alcove::host

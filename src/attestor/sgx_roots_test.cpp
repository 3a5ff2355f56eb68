// SPDX-License-Identifier: Apache-2.0
#include "attestor/sgx_roots.hpp"

#include <filesystem>

#include <gtest/gtest.h>

#include "attestor/test_folder.hpp"
#include "support/system.hpp"

namespace alcove::attestor {
namespace {

TEST(SgxRoots, TheSameOwnerHasTheSameSecretAfterARestart) {
    const TestFolder folder;
    const auto first = SgxRoots::open(folder / "state").value().root_of("vm:dev").value();

    const auto again = SgxRoots::open(folder / "state").value();

    EXPECT_EQ(again.root_of("vm:dev").value(), first);
    EXPECT_NE(again.root_of("vm:other").value(), first);
    EXPECT_NE(again.root_of("host").value(), first);
    EXPECT_NE(SgxRoots::open(folder / "elsewhere").value().root_of("vm:dev").value(), first);
}

TEST(SgxRoots, NobodysIsThereOnlyOnce) {
    const SgxRoots roots(crypto::AesKey{1});

    EXPECT_NE(roots.root_of("").value(), roots.root_of("").value());
}

TEST(SgxRoots, AKeyThatIsOpenToOthersOrNoneIsRefused) {
    const TestFolder folder;
    ASSERT_TRUE(SgxRoots::open(folder / "state"));
    const std::string file = folder / "state/sgx-root.key";
    std::filesystem::permissions(file, std::filesystem::perms::group_read,
                                 std::filesystem::perm_options::add);
    EXPECT_EQ(SgxRoots::open(folder / "state").error().code(), ErrorCode::PermissionDenied);

    ASSERT_TRUE(sys::replace_file(file, as_byte_view("short"), 0600));
    EXPECT_EQ(SgxRoots::open(folder / "state").error().code(), ErrorCode::KeyInvalid);
}

}  // namespace
}  // namespace alcove::attestor

// SPDX-License-Identifier: Apache-2.0
#include "cli/network_option.hpp"

#include <gtest/gtest.h>

namespace alcove::cli {
namespace {

TEST(NetworkOption, IsTheUsersOrATap) {
    const auto user = parse_network("user").value();
    const auto tap = parse_network("tap=tap0,mac=02:00:00:00:00:01").value();

    EXPECT_EQ(user.tap, "");
    EXPECT_EQ(user.mac, "");
    EXPECT_EQ(tap.tap, "tap0");
    EXPECT_EQ(tap.mac, "02:00:00:00:00:01");
}

TEST(NetworkOption, AnythingElseIsRefused) {
    for (const char* const wrong :
         {"", "none", "tap", "tap=", "user=1", "user,", "user,mac=", "user,mtu=9000", "tap=,mac=1"})
        EXPECT_EQ(parse_network(wrong).error().code(), ErrorCode::InvalidArgument) << wrong;
}

}  // namespace
}  // namespace alcove::cli

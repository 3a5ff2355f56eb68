// SPDX-License-Identifier: Apache-2.0
#include "daemon/network_json.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace alcove::daemon {
namespace {

TEST(NetworkJson, ThereAndBack) {
    const std::vector<NetworkRecord> networks = {
        {.kind = api::NetworkKind::Tap, .mac = {0x02, 0x1f, 0x5c, 0x00, 0xaa, 0x01}},
        {.kind = api::NetworkKind::Stream, .mac = {0x52, 0, 0, 0, 0, 0xff}}};

    const auto text = codec::json::dump(to_json(networks));

    EXPECT_NE(text.find("02:1f:5c:00:aa:01"), std::string::npos) << text;
    EXPECT_EQ(parse_networks(text).value(), networks);
}

TEST(NetworkJson, AnAddressIsOneMachines) {
    EXPECT_TRUE(parse_mac("02:00:00:00:00:01"));
    EXPECT_TRUE(parse_mac("DE:AD:BE:EF:00:01"));
    for (const char* const wrong : {"", "02:00:00:00:00", "02:00:00:00:00:01:", "02-00-00-00-00-01",
                                    "020000000001", "02:00:00:00:00:0g", "01:00:00:00:00:01",
                                    "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "2:000:00:00:00:01"})
        EXPECT_EQ(parse_mac(wrong).error().code(), ErrorCode::InvalidArgument) << wrong;
}

TEST(NetworkJson, AVmsOwnAddressesStayAndDiffer) {
    const auto first = mac_of("i-0123456789abcdef0", 0);

    EXPECT_EQ(first, mac_of("i-0123456789abcdef0", 0));
    EXPECT_NE(first, mac_of("i-0123456789abcdef0", 1));
    EXPECT_NE(first, mac_of("i-0123456789abcdef1", 0));
    EXPECT_EQ(first[0] & 3, 2) << "one machine's, locally administered";
}

}  // namespace
}  // namespace alcove::daemon

// SPDX-License-Identifier: Apache-2.0
#include "egress/address.hpp"

#include <netinet/in.h>

#include <gtest/gtest.h>

namespace alcove::egress {
namespace {

TEST(Address, PublicIsWhatTheInternetRoutes) {
    for (const char* const text :
         {"1.1.1.1", "93.184.216.34", "172.15.255.255", "172.32.0.1", "192.0.1.1", "100.63.255.255",
          "223.255.255.255", "2606:2800:220:1::1", "2a00::1", "64:ff9b::101:101"})
        EXPECT_TRUE(is_public(IpAddress::parse(text).value())) << text;
}

TEST(Address, WhatIsNobodysOrANeighboursIsNotPublic) {
    for (const char* const text : {"0.0.0.0",
                                   "10.1.2.3",
                                   "100.64.0.1",
                                   "127.0.0.1",
                                   "127.255.255.255",
                                   "169.254.169.254",
                                   "172.16.0.1",
                                   "172.31.255.255",
                                   "192.0.0.170",
                                   "192.0.2.1",
                                   "192.88.99.1",
                                   "192.168.1.1",
                                   "198.18.0.1",
                                   "198.51.100.7",
                                   "203.0.113.7",
                                   "224.0.0.1",
                                   "239.255.255.250",
                                   "240.0.0.1",
                                   "255.255.255.255",
                                   "::",
                                   "::1",
                                   "::ffff:10.0.0.1",
                                   "::ffff:127.0.0.1",
                                   "::127.0.0.1",
                                   "64:ff9b::a00:1",
                                   "64:ff9b::7f00:1",
                                   "64:ff9b:1::1",
                                   "100::1",
                                   "2001::1",
                                   "2001:db8::1",
                                   "2002:7f00:1::1",
                                   "3fff::1",
                                   "fc00::1",
                                   "fd12:3456::1",
                                   "fe80::1",
                                   "fec0::1",
                                   "ff02::1"})
        EXPECT_FALSE(is_public(IpAddress::parse(text).value())) << text;
}

TEST(Address, AMappedAddressIsTheIpv4Address) {
    EXPECT_EQ(IpAddress::parse("::ffff:93.184.216.34"), IpAddress::parse("93.184.216.34"));
    EXPECT_EQ(IpAddress::parse("::ffff:93.184.216.34")->text(), "93.184.216.34");
}

TEST(Address, OnlyFullNumbersAreRead) {
    for (const char* const text : {"", "127.1", "0x7f.0.0.1", "2130706433", "127.0.0.01", "1.2.3.4.5",
                                   "fe80::1%eth0", "[::1]", "a.example"})
        EXPECT_FALSE(IpAddress::parse(text)) << text;
    EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0.5", 10)));
}

TEST(Address, ARangeIsItsFirstBits) {
    const auto range = AddressRange::parse("10.20.30.0/23").value();
    EXPECT_TRUE(range.contains(*IpAddress::parse("10.20.31.255")));
    EXPECT_FALSE(range.contains(*IpAddress::parse("10.20.32.0")));
    EXPECT_FALSE(range.contains(*IpAddress::parse("::10.20.30.1")));
    EXPECT_TRUE(AddressRange::parse("0.0.0.0/0")->contains(*IpAddress::parse("255.0.0.1")));
    EXPECT_FALSE(AddressRange::parse("10.0.0.1")->contains(*IpAddress::parse("10.0.0.2")));
    EXPECT_TRUE(AddressRange::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:7fff::1")));
    EXPECT_FALSE(AddressRange::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:8000::1")));
    for (const char* const text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "10.0.0.0/8 ", "/8"})
        EXPECT_FALSE(AddressRange::parse(text)) << text;
}

TEST(Address, GoesToTheKernelAndComesBack) {
    for (const char* const text : {"93.184.216.34", "2606:2800:220:1::1"}) {
        socklen_t size = 0;
        const auto storage = IpAddress::parse(text)->socket_address(443, size);
        const auto& address = reinterpret_cast<const sockaddr&>(storage);
        EXPECT_EQ(IpAddress::of(address)->text(), text);
        EXPECT_EQ(size, address.sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    }
}

}  // namespace
}  // namespace alcove::egress

// SPDX-License-Identifier: Apache-2.0
#include "egress/rules.hpp"

#include <gtest/gtest.h>

namespace alcove::egress {
namespace {

Rules parsed_rules(std::vector<std::string> texts) {
    return Rules::parse(texts).value();
}

TEST(Rules, NothingIsAllowedWithoutOne) {
    const auto none = parsed_rules({});
    EXPECT_FALSE(none.for_name("a.example", 443));
    EXPECT_FALSE(none.gives(*IpAddress::parse("93.184.216.34"), 443));
}

TEST(Rules, ANameIsAllowedOnItsPortsOnly) {
    const auto some = parsed_rules({"Storage.Example.:443", "logs.example:8000-8010"});
    EXPECT_TRUE(some.for_name("storage.example", 443));
    EXPECT_FALSE(some.for_name("storage.example", 80));
    EXPECT_FALSE(some.for_name("x.storage.example", 443));
    EXPECT_FALSE(some.for_name("xstorage.example", 443));
    EXPECT_TRUE(some.for_name("logs.example", 8010));
    EXPECT_FALSE(some.for_name("logs.example", 8011));
}

TEST(Rules, ASuffixIsEverythingBelowAName) {
    const auto some = parsed_rules({"*.s3.example:443"});
    EXPECT_TRUE(some.for_name("bucket.s3.example", 443));
    EXPECT_TRUE(some.for_name("a.b.s3.example", 443));
    EXPECT_FALSE(some.for_name("s3.example", 443));
    EXPECT_FALSE(some.for_name(".s3.example", 443));
    EXPECT_FALSE(some.for_name("bucketxs3.example", 443));
}

TEST(Rules, ANameCanHaveItsAddress) {
    const auto some = parsed_rules({"storage.test:8443=10.0.0.5", "six.test:1=2001:db8::1"});
    EXPECT_EQ(some.for_name("storage.test", 8443)->address, IpAddress::parse("10.0.0.5"));
    EXPECT_EQ(some.for_name("six.test", 1)->address, IpAddress::parse("2001:db8::1"));
}

TEST(Rules, ARangeGivesAddresses) {
    const auto some =
        parsed_rules({"10.1.0.0/16:8000-8010", "192.0.2.7:443", "[2001:db8::/32]:443", "[::1]:80"});
    EXPECT_TRUE(some.gives(*IpAddress::parse("10.1.255.1"), 8005));
    EXPECT_FALSE(some.gives(*IpAddress::parse("10.1.255.1"), 443));
    EXPECT_TRUE(some.gives(*IpAddress::parse("192.0.2.7"), 443));
    EXPECT_FALSE(some.gives(*IpAddress::parse("192.0.2.8"), 443));
    EXPECT_TRUE(some.gives(*IpAddress::parse("2001:db8:1::5"), 443));
    EXPECT_TRUE(some.gives(*IpAddress::parse("::1"), 80));
}

TEST(Rules, WhatIsNoneIsNamed) {
    for (const char* const wrong : {"",
                                    "a.example",
                                    "a.example:",
                                    "a.example:0",
                                    "a.example:65536",
                                    "a.example:2-1",
                                    "a.example:1-",
                                    ":443",
                                    "*:443",
                                    "*.:443",
                                    "a..example:443",
                                    "-a.example:443",
                                    "a b:443",
                                    "a.example:443=",
                                    "a.example:443=b.example",
                                    "*.example:443=10.0.0.1",
                                    "10.0.0.1:443=10.0.0.2",
                                    "2001:db8::1:443x",
                                    "[10.0.0.1]:443",
                                    "[a.example]:443",
                                    "10.0.0.0/40:443",
                                    "http://a.example:443",
                                    "a.example:443,b.example:443"}) {
        const auto parsed = Rules::parse(std::vector<std::string>{"good.example:1", wrong});
        ASSERT_FALSE(parsed) << wrong;
        EXPECT_EQ(parsed.error().code(), ErrorCode::InvalidArgument);
        EXPECT_NE(parsed.error().to_string().find("'" + std::string(wrong) + "'"), std::string::npos);
    }
    EXPECT_FALSE(Rules::parse(std::vector<std::string>(Rules::kMost + 1, "a.example:1")));
}

TEST(Names, AreComparedInOneForm) {
    EXPECT_EQ(normal_name("A-1.Example."), "a-1.example");
    EXPECT_EQ(normal_name("_srv.example"), "_srv.example");
    EXPECT_FALSE(normal_name("."));
    EXPECT_FALSE(normal_name("a..b"));
    EXPECT_FALSE(normal_name("a-.b"));
    EXPECT_FALSE(normal_name(std::string(64, 'a') + ".b"));
    EXPECT_FALSE(normal_name("a\nb"));
    EXPECT_FALSE(
        normal_name("b\xc3\xbc"
                    "cher.example"));
}

}  // namespace
}  // namespace alcove::egress

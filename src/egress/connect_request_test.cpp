// SPDX-License-Identifier: Apache-2.0
#include "egress/connect_request.hpp"

#include <gtest/gtest.h>

namespace alcove::egress {
namespace {

Status status_of(const std::string& head) {
    const auto parsed = parse_connect(head);
    const auto* status = std::get_if<Status>(&parsed);
    return status != nullptr ? *status : Status::Established;
}

TEST(ConnectRequest, NamesAHostAndAPort) {
    const auto parsed = parse_connect(
        "CONNECT storage.example:443 HTTP/1.1\r\nHost: storage.example:443\r\n"
        "Proxy-Authorization: Basic eDp5\r\nX-Empty:\r\n\r\n");
    const auto& target = std::get<ConnectTarget>(parsed);
    EXPECT_EQ(target.host, "storage.example");
    EXPECT_EQ(target.port, 443);
}

TEST(ConnectRequest, AnIpv6AddressStandsInBrackets) {
    const auto parsed = parse_connect("CONNECT [2001:db8::1]:443 HTTP/1.0\r\n\r\n");
    EXPECT_EQ(std::get<ConnectTarget>(parsed).host, "2001:db8::1");
    EXPECT_EQ(status_of("CONNECT 2001:db8::1:443 HTTP/1.1\r\n\r\n"), Status::BadRequest);
}

TEST(ConnectRequest, OtherMethodsAndVersionsHaveTheirAnswer) {
    EXPECT_EQ(status_of("GET http://storage.example/ HTTP/1.1\r\n\r\n"), Status::MethodNotAllowed);
    EXPECT_EQ(status_of("connect a:1 HTTP/1.1\r\n\r\n"), Status::MethodNotAllowed);
    EXPECT_EQ(status_of("CONNECT a:1 HTTP/2.0\r\n\r\n"), Status::VersionNotSupported);
    EXPECT_NE(response(Status::MethodNotAllowed).find("\r\nAllow: CONNECT\r\n"), std::string::npos);
}

TEST(ConnectRequest, WhatCouldBeReadInTwoWaysIsRefused) {
    const std::string line = "CONNECT a.example:443 HTTP/1.1\r\n";
    for (const auto& head : {std::string("\r\n\r\n"),
                             std::string("CONNECT a.example:443\r\n\r\n"),
                             std::string("CONNECT  a.example:443 HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT a.example HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT a.example: HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT a.example:0 HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT a.example:65536 HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT a.example:+1 HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT :443 HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT []:443 HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT [:443 HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT user@a.example:443 HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT a.example:443/x HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT a\x01:443 HTTP/1.1\r\n\r\n"),
                             std::string("CONNECT a.example:443 HTTP/1.1\n\n\r\n\r\n"),
                             line + "Content-Length: 5\r\n\r\n",
                             line + "content-length: 0, 5\r\n\r\n",
                             line + "Transfer-Encoding: chunked\r\n\r\n",
                             line + "No colon\r\n\r\n",
                             line + "Name : x\r\n\r\n",
                             line + " folded\r\n\r\n",
                             line + "A: b\n\r\n\r\n",
                             line + "A: b",
                             "CONNECT " + std::string(kMaxHost + 1, 'a') + ":443 HTTP/1.1\r\n\r\n"})
        EXPECT_EQ(status_of(head), Status::BadRequest) << head;
    EXPECT_EQ(status_of(line + "Content-Length: 0\r\n\r\n"), Status::Established);
}

TEST(ConnectRequest, ItsHeadEndsWithAnEmptyLine) {
    const auto length = [](std::string_view text) { return head_length(as_byte_view(text)); };
    EXPECT_EQ(length("CONNECT a:1 HTTP/1.1\r\n\r"), std::nullopt);
    EXPECT_EQ(length("CONNECT a:1 HTTP/1.1\r\n\r\n\x16\x03"), 24U);
    EXPECT_EQ(length(""), std::nullopt);
}

TEST(ConnectRequest, OnlyASuccessIsFollowedByATunnel) {
    EXPECT_EQ(response(Status::Established), "HTTP/1.1 200 Connection Established\r\n\r\n");
    EXPECT_EQ(response(Status::Forbidden),
              "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

}  // namespace
}  // namespace alcove::egress

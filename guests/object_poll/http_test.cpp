// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "object_poll/scripted_stream.hpp"

namespace alcove::object_poll {
namespace {

Result<Response> response(const std::string& text, Body body = Body::Expected) {
    ScriptedStream stream(text);
    return read_response(stream, body);
}

TEST(Http, ABodyIsAsLongAsItSays) {
    const auto got =
        response("HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length:  5 \r\n\r\nhello and more").value();

    EXPECT_EQ(got.status, 200U);
    EXPECT_EQ(got.field("etag"), "\"a\"");
    EXPECT_EQ(got.body, "hello");
}

TEST(Http, ABodyComesInChunksOrToTheEnd) {
    EXPECT_EQ(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                       "chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: 1\r\n\r\n")
                  ->body,
              "hello!");
    EXPECT_EQ(response("HTTP/1.0 200 OK\r\n\r\nhello")->body, "hello");
    EXPECT_EQ(response("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")->body, "");
}

TEST(Http, WithoutABodyNothingBehindTheHeadIsRead) {
    ScriptedStream stream("HTTP/1.1 200 Connection Established\r\n\r\n\x16\x03\x01");

    EXPECT_EQ(read_response(stream, Body::None)->status, 200U);
    EXPECT_EQ(stream.rest(), "\x16\x03\x01");
}

TEST(Http, WhatIsNoResponseIsRefused) {
    for (const std::string& text :
         {std::string(), std::string("HTTP/1.1 200"), std::string("HTTP/1.1 abc OK\r\n\r\n"),
          std::string("HTTP/2 200 OK\r\n\r\n"), std::string("HTTP/1.1 200 OK\r\nno field\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
          std::string("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
          std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"),
          std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"),
          "HTTP/1.1 200 OK\r\nA: " + std::string(5000, 'x') + "\r\n\r\n"})
        EXPECT_FALSE(response(text)) << text.substr(0, 60);
}

}  // namespace
}  // namespace alcove::object_poll

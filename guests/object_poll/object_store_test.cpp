// SPDX-License-Identifier: Apache-2.0
#include "object_poll/object_store.hpp"

#include <gtest/gtest.h>

#include "object_poll/scripted_stream.hpp"
#include "object_poll/status.hpp"

namespace alcove::object_poll {
namespace {

constexpr const char* kListing =
    "HTTP/1.1 200 OK\r\n\r\n<ListBucketResult><Contents><Key>a&amp;b</Key></Contents>"
    "<Contents><Key>model</Key></Contents></ListBucketResult>";
constexpr const char* kObject = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 5\r\n\r\nhello";
const Place kPlace{.authority = "storage.test:443", .bucket = "b", .key = "model"};

struct Server {
    std::vector<std::string> answers;
    std::vector<std::string> requests = {};

    Connect connect() {
        return [this]() -> Result<std::unique_ptr<Stream>> {
            if (requests.size() == answers.size()) return fail(ErrorCode::ConnectionLost, "no more");
            requests.emplace_back();
            return std::unique_ptr<Stream>(
                std::make_unique<ScriptedStream>(answers[requests.size() - 1], &requests.back()));
        };
    }
};

TEST(ObjectStore, IsListedAndItsObjectFetched) {
    Server server{.answers = {kListing, kObject}};
    server.requests.reserve(2);
    Seen seen;

    ASSERT_TRUE(poll_once(server.connect(), kPlace, seen));

    EXPECT_EQ(seen.keys, (std::vector<std::string>{"a&b", "model"}));
    EXPECT_EQ(seen.body, "hello");
    EXPECT_TRUE(seen.changed);
    EXPECT_EQ(server.requests[0],
              "GET /b?list-type=2 HTTP/1.1\r\nHost: storage.test:443\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(server.requests[1],
              "GET /b/model HTTP/1.1\r\nHost: storage.test:443\r\nConnection: close\r\n\r\n");
}

TEST(ObjectStore, AnObjectThatIsTheSameIsNotFetchedAgain) {
    Server server{.answers = {kListing, "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"}};
    server.requests.reserve(2);
    Seen seen{.etag = "\"1\"", .body = "hello", .keys = {}};

    ASSERT_TRUE(poll_once(server.connect(), kPlace, seen));

    EXPECT_NE(server.requests[1].find("\r\nIf-None-Match: \"1\"\r\n"), std::string::npos);
    EXPECT_EQ(seen.body, "hello");
    EXPECT_FALSE(seen.changed);
}

TEST(ObjectStore, WhatWasSeenStaysWhenAPollFails) {
    const std::vector<std::string> failures[] = {
        {}, {"HTTP/1.1 403 Forbidden\r\n\r\n"}, {kListing, "HTTP/1.1 404 Not Found\r\n\r\n"}};
    for (const auto& answers : failures) {
        Server server{.answers = answers};
        server.requests.reserve(2);
        Seen seen{.etag = "\"1\"", .body = "hello", .keys = {}};

        EXPECT_FALSE(poll_once(server.connect(), kPlace, seen));
        EXPECT_EQ(seen.body, "hello");
        EXPECT_EQ(seen.etag, "\"1\"");
    }
}

TEST(ObjectStore, ATunnelIsOpenOnlyWhenTheEgressSaysSo) {
    std::string asked;
    ScriptedStream open("HTTP/1.1 200 Connection Established\r\n\r\n", &asked);
    ScriptedStream closed("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");

    EXPECT_TRUE(open_tunnel(open, "storage.test:443"));
    EXPECT_EQ(asked, "CONNECT storage.test:443 HTTP/1.1\r\nHost: storage.test:443\r\n\r\n");
    EXPECT_FALSE(open_tunnel(closed, "storage.test:443"));
}

TEST(Status, IsOneLineOfJson) {
    Status status;
    status.record({.etag = "\"1\"", .body = "hello", .keys = {"a\n"}, .changed = true}, {}, "00");
    EXPECT_EQ(status.json(),
              "{\"polls\":1,\"changes\":1,\"etag\":\"\\\"1\\\"\",\"bytes\":5,\"sha256\":\"00\",\"keys\":["
              "\"a\\u000a\"],\"error\":null}\n");
}

}  // namespace
}  // namespace alcove::object_poll

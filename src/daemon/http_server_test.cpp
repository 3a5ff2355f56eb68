// SPDX-License-Identifier: Apache-2.0
#include "daemon/http_server.hpp"

#include <atomic>
#include <mutex>
#include <thread>

#include <unistd.h>

#include <gtest/gtest.h>

#include "daemon/fake_host_test.hpp"
#include "daemon/http_client_test.hpp"

namespace alcove::daemon {
namespace {

class HttpServerTest : public testing::Test {
  protected:
    void start(HttpLimits limits = {}) {
        limits.request_time = std::chrono::milliseconds(500);
        server_ = HttpServer::start(
                      sys::unix_listen(path_, SOCK_STREAM, 0600).value(), limits,
                      [this](const HttpRequest& request) { return handle(request); },
                      [](int status) { return "error " + std::to_string(status); })
                      .value();
    }
    HttpResponse handle(const HttpRequest& request) {
        ++handled_;
        if (request.path == "/stream") {
            HttpResponse response;
            response.stream = [this, i = 0]() mutable -> std::optional<std::string> {
                std::this_thread::sleep_for(std::chrono::milliseconds(5));
                ++pieces_;
                if (++i == 1) return "first ";
                return i == 4  ? std::optional<std::string>("last")
                       : i > 4 ? std::nullopt
                               : std::optional<std::string>("");
            };
            return response;
        }
        if (request.path == "/endless") {
            HttpResponse response;
            response.stream = [this]() -> std::optional<std::string> {
                std::this_thread::sleep_for(std::chrono::milliseconds(5));
                ++pieces_;
                return "";
            };
            return response;
        }
        std::string text =
            request.method + " " + request.path + " " + std::to_string(request.user) + " " + request.body;
        for (const auto& [name, value] : request.query)
            text += " " + name + "=" + value;
        return {.status = 200, .content_type = "text/plain", .body = text, .stream = {}};
    }

    TestDirectory directory_;
    std::string path_ = directory_.path() + "/http.sock";
    std::atomic<int> handled_ = 0;
    std::atomic<int> pieces_ = 0;
    std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ARequestReachesTheHandlerWithItsUser) {
    start();

    const auto answer = get(path_, "/v1/a%20b?wait=ready&timeout=3");

    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "GET /v1/a b " + std::to_string(::getuid()) + "  timeout=3 wait=ready");
}

TEST_F(HttpServerTest, ABodyReachesTheHandler) {
    start();

    EXPECT_EQ(post(path_, "/v1/enclaves", "{}").body,
              "POST /v1/enclaves " + std::to_string(::getuid()) + " {}");
}

TEST_F(HttpServerTest, AHeaderCannotPretendAnotherUser) {
    start();

    const auto answer = raw_request(path_, "GET /a HTTP/1.1\r\nREMOTE_ADDR: 12345\r\n\r\n");

    EXPECT_EQ(answer.body, "GET /a " + std::to_string(::getuid()) + " ");
}

TEST_F(HttpServerTest, OtherMethodsAreRefused) {
    start();

    EXPECT_EQ(raw_request(path_, "PUT /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n").status, 405);
    EXPECT_EQ(raw_request(path_, "OPTIONS /a HTTP/1.1\r\n\r\n").status, 405);
    EXPECT_EQ(raw_request(path_, "BREW /a HTTP/1.1\r\n\r\n").status, 400);
    EXPECT_EQ(handled_, 0);
}

TEST_F(HttpServerTest, BodiesOfOtherKindsAreRefused) {
    start();

    EXPECT_EQ(
        raw_request(
            path_,
            "POST /a HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 1\r\n\r\na")
            .status,
        415);
    EXPECT_EQ(raw_request(path_,
                          "POST /a HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: "
                          "gzip\r\nContent-Length: 1\r\n\r\na")
                  .status,
              415);
    EXPECT_EQ(handled_, 0);
}

TEST_F(HttpServerTest, SizesAreBounded) {
    start({.connections = 4,
           .body_bytes = 1000,
           .header_bytes = 2000,
           .header_line_bytes = 500,
           .path_bytes = 100});

    EXPECT_EQ(post(path_, "/a", std::string(1001, 'x')).status, 413);
    EXPECT_EQ(get(path_, "/" + std::string(200, 'x')).status, 414);
    EXPECT_NE(raw_request(path_, "GET /a HTTP/1.1\r\nX: " + std::string(600, 'x') + "\r\n\r\n").status, 200);
    std::string many;
    for (int i = 0; i < 50; ++i)
        many += "X-" + std::to_string(i) + ": " + std::string(100, 'x') + "\r\n";
    EXPECT_NE(raw_request(path_, "GET /a HTTP/1.1\r\n" + many + "\r\n").status, 200);
    std::string chunks =
        "POST /a HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int i = 0; i < 100; ++i)
        chunks += "64\r\n" + std::string(100, 'x') + "\r\n";
    EXPECT_NE(raw_request(path_, chunks + "0\r\n\r\n").status, 200);
    EXPECT_EQ(handled_, 0);
    EXPECT_EQ(post(path_, "/a", std::string(1000, 'x')).status, 200);
}

TEST_F(HttpServerTest, NonsenseIsNoRequest) {
    start();

    EXPECT_NE(raw_request(path_, "\r\n\r\n").status, 200);
    EXPECT_NE(raw_request(path_, std::string(3000, '\0')).status, 200);
    EXPECT_NE(raw_request(path_, "GET\r\n\r\n").status, 200);
    EXPECT_EQ(
        raw_request(path_, "GET / HTTP/1.1\r\nRange: bytes=" + std::string(3000, '1') + "-\r\n\r\n").status ==
            0,
        false);
    EXPECT_EQ(get(path_, "/still-there").status, 200);
}

TEST_F(HttpServerTest, AClientThatSaysNothingIsLetGoAndTheNextHasItsTurn) {
    start({.connections = 1});
    const auto silent = sys::unix_connect(path_, SOCK_STREAM).value();

    EXPECT_EQ(get(path_, "/a").status, 200);  // only once the silent one's time is over
}

TEST_F(HttpServerTest, ClientsBeyondTheLimitWaitForTheirTurn) {
    start({.connections = 2});
    std::vector<std::thread> clients;
    std::atomic<int> good = 0;
    for (int i = 0; i < 64; ++i)
        clients.emplace_back([&] { good += get(path_, "/x").status == 200 ? 1 : 0; });
    for (auto& client : clients)
        client.join();

    EXPECT_EQ(good, 64);
}

TEST_F(HttpServerTest, AStreamComesInChunks) {
    start();

    const auto answer = get(path_, "/stream");

    EXPECT_NE(answer.head.find("chunked"), std::string::npos);
    EXPECT_EQ(answer.body, "6\r\nfirst \r\n4\r\nlast\r\n0\r\n\r\n");
}

TEST_F(HttpServerTest, AStreamEndsWithItsReader) {
    start();
    {
        const auto socket = sys::unix_connect(path_, SOCK_STREAM).value();
        sys::write_all(socket, as_byte_view("GET /endless HTTP/1.1\r\n\r\n")).value();
        while (pieces_ == 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));

    const int before = pieces_;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_EQ(pieces_, before);
}

TEST_F(HttpServerTest, StoppingEndsWhatIsUnderWay) {
    start();
    const auto socket = sys::unix_connect(path_, SOCK_STREAM).value();
    sys::write_all(socket, as_byte_view("GET /endless HTTP/1.1\r\n\r\n")).value();
    while (pieces_ == 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));

    server_.reset();

    EXPECT_FALSE(sys::unix_connect(path_, SOCK_STREAM));
}

TEST_F(HttpServerTest, ManyClientsAreServedAtOnce) {
    start();
    std::vector<std::thread> clients;
    std::atomic<int> good = 0;
    for (int i = 0; i < 16; ++i) {
        clients.emplace_back([&] {
            for (int n = 0; n < 20; ++n)
                good += get(path_, "/x").status == 200 ? 1 : 0;
        });
    }
    for (auto& client : clients)
        client.join();

    EXPECT_EQ(good, 16 * 20);
}

}  // namespace
}  // namespace alcove::daemon

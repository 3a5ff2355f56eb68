// SPDX-License-Identifier: Apache-2.0
//
// The proxy against clients of all kinds; the test is the dialer.
#include "egress/proxy.hpp"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "egress/dial_messages.hpp"
#include "support/system.hpp"

namespace alcove::egress {
namespace {

using std::chrono::milliseconds;

constexpr const char* kRequest = "CONNECT a.example:443 HTTP/1.1\r\n\r\n";
constexpr const char* kEstablished = "HTTP/1.1 200 Connection Established\r\n\r\n";

class ProxyTest : public testing::Test {
  protected:
    void start(ProxyLimits limits = {}) {
        auto ends = sys::socket_pair(SOCK_SEQPACKET).value();
        dialer_ = Channel(std::move(ends.first));
        auto listener = sys::unix_listen(path_, SOCK_STREAM, 0600).value();
        proxy_ = Proxy::create(*loop_, std::move(listener), Channel(std::move(ends.second)), limits, [this] {
                     gone_ = true;
                 }).value();
    }
    ~ProxyTest() override { ::unlink(path_.c_str()); }

    // Turns the loop until it holds, or for a few seconds.
    bool turn_until(const std::function<bool()>& condition) {
        const auto deadline = EventLoop::Clock::now() + std::chrono::seconds(5);
        while (!condition() && EventLoop::Clock::now() < deadline)
            loop_->run_once(milliseconds(10)).value();
        return condition();
    }
    Fd connect(std::string_view words = {}) {
        auto client = sys::unix_connect(path_, SOCK_STREAM).value();
        sys::set_non_blocking(client, true).value();
        if (!words.empty()) sys::write_all(client, as_byte_view(words)).value();
        return client;
    }
    // Everything that comes until so many bytes are there, or the end.
    std::string hear(const Fd& from, size_t count) {
        std::string heard;
        turn_until([&] {
            Bytes piece(65536);
            const auto got = sys::read_some(from, piece);
            if (!got) return true;
            heard += as_text(ByteView(piece).first(got->bytes));
            return heard.size() >= count || (got->bytes == 0 && !got->would_block);
        });
        return heard;
    }
    std::string hear_all(const Fd& from) { return hear(from, SIZE_MAX); }
    std::optional<Dial> next_question() {
        std::optional<Dial> question;
        sys::set_non_blocking(dialer_.fd(), true).value();
        turn_until([&] {
            const auto message = dialer_.receive();
            if (message) question = api::decode<Dial>(api::open_envelope(message->data).value()).value();
            return question.has_value();
        });
        return question;
    }
    void answer(uint32_t request, Status status, const Fd& socket = {}) {
        std::vector<int> sockets;
        if (socket.is_open()) sockets.push_back(socket.get());
        const Dialed told{.request = request, .status = static_cast<uint16_t>(status), .reserved = {}};
        dialer_.send(api::encode(told), sockets).value();
    }
    // A client's tunnel, and the far end of its target.
    std::pair<Fd, Fd> tunnel(std::string_view early = {}) {
        auto client = connect(std::string(kRequest) + std::string(early));
        auto ends = sys::socket_pair(SOCK_STREAM | SOCK_NONBLOCK).value();
        answer(next_question().value().request, Status::Established, ends.second);
        ends.second.reset();
        EXPECT_EQ(hear(client, strlen(kEstablished)), kEstablished);
        return {std::move(client), std::move(ends.first)};
    }

    std::string path_ = testing::TempDir() + "egress." + std::to_string(::getpid()) + ".sock";
    std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
    Channel dialer_;
    std::unique_ptr<Proxy> proxy_;
    bool gone_ = false;
};

TEST_F(ProxyTest, CarriesBytesBothWaysAndPassesTheEndsOn) {
    start();
    auto [client, target] = tunnel("early");

    EXPECT_EQ(hear(target, 5), "early");
    ASSERT_TRUE(sys::write_all(client, as_byte_view("question")));
    ::shutdown(client.get(), SHUT_WR);
    EXPECT_EQ(hear_all(target), "question");
    ASSERT_TRUE(sys::write_all(target, as_byte_view("answer")));
    target.reset();
    EXPECT_EQ(hear_all(client), "answer");
    EXPECT_TRUE(turn_until([&] { return proxy_->tunnel_count() == 0; }));
}

TEST_F(ProxyTest, AsksTheDialerForWhatTheClientNamed) {
    start();
    const auto client = connect("CONNECT Storage.Example:8443 HTTP/1.1\r\nHost: x\r\n\r\n");

    const auto question = next_question().value();

    EXPECT_EQ(question.host.text(), "Storage.Example");
    EXPECT_EQ(question.port, 8443);
}

TEST_F(ProxyTest, ARefusalIsAnAnswerAndTheEnd) {
    start();
    const auto client = connect(kRequest);
    answer(next_question().value().request, Status::Forbidden);

    EXPECT_EQ(hear_all(client), response(Status::Forbidden));
    EXPECT_TRUE(turn_until([&] { return proxy_->tunnel_count() == 0; }));
}

TEST_F(ProxyTest, SuccessWithoutASocketIsNone) {
    start();
    const auto client = connect(kRequest);
    answer(next_question().value().request, Status::Established);

    EXPECT_EQ(hear_all(client), response(Status::BadGateway));
}

TEST_F(ProxyTest, NonsenseIsAnsweredWithoutAQuestion) {
    start();
    EXPECT_EQ(hear_all(connect("GET / HTTP/1.1\r\n\r\n")), response(Status::MethodNotAllowed));
    EXPECT_EQ(hear_all(connect("\x16\x03\x01 nonsense\r\n\r\n")), response(Status::BadRequest));
    EXPECT_EQ(hear_all(connect(std::string(kMaxHead + 1, 'x'))), response(Status::HeadTooLarge));
    EXPECT_FALSE(dialer_.receive_within(milliseconds(10)));
}

TEST_F(ProxyTest, ARequestThatDoesNotComeWholeIsGivenUp) {
    start({.tunnels = 4, .tunnel = {.head = milliseconds(50)}});
    const auto client = connect("CONNECT a.example:443 HTTP/1.1\r\n");

    EXPECT_EQ(hear_all(client), response(Status::RequestTimeout));
}

TEST_F(ProxyTest, ADialerThatDoesNotAnswerIsGivenUp) {
    start({.tunnels = 4, .tunnel = {.dial = milliseconds(50)}});
    const auto client = connect(kRequest);
    const auto question = next_question().value();

    EXPECT_EQ(hear_all(client), response(Status::GatewayTimeout));
    const auto ends = sys::socket_pair(SOCK_STREAM).value();
    answer(question.request, Status::Established, ends.first);  // too late, for nobody
    loop_->run_once(milliseconds(10)).value();
    EXPECT_FALSE(gone_);
}

TEST_F(ProxyTest, ATunnelWithoutAByteEnds) {
    start({.tunnels = 4, .tunnel = {.idle = milliseconds(50)}});
    const auto [client, target] = tunnel();

    EXPECT_EQ(hear_all(target), "");
    EXPECT_EQ(hear_all(client), "");
}

TEST_F(ProxyTest, WhatIsNotReadIsNotBuffered) {
    start();
    const auto ends = tunnel();
    const auto& client = ends.first;
    const auto& target = ends.second;
    const Bytes piece(65536, 1);
    size_t sent = 0;
    // Until nothing goes out for a while: sockets' buffers and one of ours.
    EXPECT_FALSE(turn_until([&] {
        const auto part = sys::write_some(client, piece);
        sent += part->bytes;
        return sent > 16U << 20;
    }));
    size_t received = 0;
    EXPECT_TRUE(turn_until([&] {
        Bytes into(65536);
        received += sys::read_some(target, into)->bytes;
        return received == sent;
    }));
}

TEST_F(ProxyTest, AClientThatIsGoneTakesTheTunnelWithIt) {
    start();
    auto [client, target] = tunnel();

    client.reset();

    EXPECT_EQ(hear_all(target), "");
    EXPECT_TRUE(turn_until([&] { return proxy_->tunnel_count() == 0; }));
}

TEST_F(ProxyTest, NoMoreThanItsLimitAreServedAtOnceAndTheOthersWait) {
    start({.tunnels = 2, .tunnel = {}});
    auto first = connect();
    const auto second = connect();
    const auto third = connect(kRequest);
    EXPECT_TRUE(turn_until([&] { return proxy_->tunnel_count() == 2; }));
    for (int i = 0; i < 20; ++i)
        loop_->run_once(milliseconds(1)).value();
    EXPECT_EQ(proxy_->tunnel_count(), 2U);

    first.reset();

    EXPECT_TRUE(next_question());
}

TEST_F(ProxyTest, ItsDialersEndIsTold) {
    start();
    dialer_ = Channel();

    EXPECT_TRUE(turn_until([&] { return gone_; }));
}

}  // namespace
}  // namespace alcove::egress

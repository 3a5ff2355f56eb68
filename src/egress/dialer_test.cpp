// SPDX-License-Identifier: Apache-2.0
#include "egress/dialer.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>

#include <netinet/in.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include "egress/dial_messages.hpp"
#include "support/system.hpp"

namespace alcove::egress {
namespace {

constexpr std::chrono::seconds kPatience(10);

Resolve resolving_to(std::vector<std::string> texts) {
    return [texts](const std::string&) -> Result<std::vector<IpAddress>> {
        std::vector<IpAddress> addresses;
        for (const auto& text : texts)
            addresses.push_back(*IpAddress::parse(text));
        if (addresses.empty()) return fail(ErrorCode::NotFound, "no such name");
        return addresses;
    };
}

Resolve resolving_nothing() {
    return [](const std::string& name) -> Result<std::vector<IpAddress>> {
        ADD_FAILURE() << name << " is resolved";
        return fail(ErrorCode::NotFound, "");
    };
}

Rules rules(const std::vector<std::string>& texts) {
    return Rules::parse(texts).value();
}

std::vector<std::string> texts_of(const Verdict& verdict) {
    std::vector<std::string> texts;
    for (const auto& address : verdict.addresses)
        texts.push_back(address.text());
    return texts;
}

TEST(Verdict, OnlyPublicAddressesOfANameAreLeft) {
    const auto some = rules({"a.example:443"});
    const auto verdict =
        judge(some, {.host = "A.example", .port = 443},
              resolving_to({"127.0.0.1", "93.184.216.34", "10.0.0.1", "::1", "2606:2800::1"}));
    EXPECT_EQ(texts_of(verdict), (std::vector<std::string>{"93.184.216.34", "2606:2800::1"}));
}

TEST(Verdict, ANameThatLeadsInsideIsRefusedUnlessARuleGivesTheAddress) {
    const auto inside = resolving_to({"169.254.169.254", "10.0.0.5"});
    const ConnectTarget target{.host = "a.example", .port = 443};

    const auto refused = judge(rules({"a.example:443"}), target, inside);
    EXPECT_EQ(refused.status, Status::Forbidden);
    EXPECT_TRUE(refused.addresses.empty());

    const auto given = judge(rules({"a.example:443", "10.0.0.0/24:443"}), target, inside);
    EXPECT_EQ(texts_of(given), std::vector<std::string>{"10.0.0.5"});
}

TEST(Verdict, WhatNoRuleAllowsIsNotEvenResolved) {
    const auto some = rules({"a.example:443", "10.0.0.0/24:443"});
    for (const ConnectTarget& target :
         {ConnectTarget{.host = "b.example", .port = 443}, ConnectTarget{.host = "a.example", .port = 80},
          ConnectTarget{.host = "93.184.216.34", .port = 443}, ConnectTarget{.host = "127.1", .port = 443}})
        EXPECT_EQ(judge(some, target, resolving_nothing()).status, Status::Forbidden) << target.host;
    EXPECT_EQ(judge(some, {.host = "a..b", .port = 443}, resolving_nothing()).status, Status::BadRequest);
}

TEST(Verdict, AnAddressInARuleIsUsedAsItIs) {
    EXPECT_EQ(
        texts_of(judge(rules({"a.test:1=127.0.0.1"}), {.host = "a.test", .port = 1}, resolving_nothing())),
        std::vector<std::string>{"127.0.0.1"});
    EXPECT_EQ(texts_of(judge(rules({"[::1]:1"}), {.host = "::1", .port = 1}, resolving_nothing())),
              std::vector<std::string>{"::1"});
}

TEST(Verdict, ANameThatIsNotThereIsTheGatewaysFailure) {
    EXPECT_EQ(judge(rules({"a.example:1"}), {.host = "a.example", .port = 1}, resolving_to({})).status,
              Status::BadGateway);
}

class DialerTest : public testing::Test {
  protected:
    ~DialerTest() override {
        proxy_ = Channel();
        if (thread_.joinable()) thread_.join();
    }
    void start(const std::vector<std::string>& texts, DialLimits limits = {},
               Resolve resolve = resolving_to({})) {
        auto ends = sys::socket_pair(SOCK_SEQPACKET).value();
        proxy_ = Channel(std::move(ends.first));
        thread_ = std::thread(
            [this, rules = rules(texts), limits, resolve, end = std::move(ends.second)]() mutable {
                served_ = Dialer(std::move(rules), limits, resolve).serve(Channel(std::move(end)));
            });
    }
    void ask(uint32_t request, const std::string& host, uint16_t port) {
        const Dial question{
            .request = request, .port = port, .reserved = {}, .host = api::TextField<kMaxHost>::of(host)};
        proxy_.send(api::encode(question)).value();
    }
    std::pair<Dialed, std::vector<Fd>> answer() {
        auto message = proxy_.receive_within(kPatience).value();
        return {api::decode<Dialed>(api::open_envelope(message.data).value()).value(),
                std::move(message.descriptors)};
    }
    static uint16_t listen(Fd& listener) {
        listener = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(::listen(listener.get(), 8), 0);
        socklen_t size = sizeof address;
        ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
        return ntohs(address.sin_port);
    }

    Channel proxy_;
    std::thread thread_;
    Result<void> served_;
};

TEST_F(DialerTest, ConnectsAndHandsTheSocketOver) {
    Fd listener;
    const uint16_t port = listen(listener);
    start({"a.test:1-65535=127.0.0.1"});

    ask(7, "a.test", port);
    const auto [told, sockets] = answer();

    EXPECT_EQ(told.request, 7U);
    EXPECT_EQ(told.status, 200);
    ASSERT_EQ(sockets.size(), 1U);
    const auto accepted = sys::accept(listener).value();
    ASSERT_TRUE(sys::write_all(sockets[0], as_byte_view("hello")));
    Bytes bytes(5);
    ASSERT_TRUE(sys::read_exact(accepted, bytes));
    EXPECT_EQ(as_text(bytes), "hello");
}

TEST_F(DialerTest, RefusalsComeWithoutASocket) {
    Fd listener;
    const uint16_t closed = listen(listener);
    listener.reset();
    start({"a.test:1-65535=127.0.0.1"});

    ask(1, "b.test", 443);
    const auto forbidden = answer();
    ask(2, "a.test", closed);
    const auto nobody = answer();

    EXPECT_EQ(forbidden.first.status, 403);
    EXPECT_TRUE(forbidden.second.empty());
    EXPECT_EQ(nobody.first.status, 502);
    EXPECT_TRUE(nobody.second.empty());
}

TEST_F(DialerTest, QuestionsOverTheLimitAreAnsweredAtOnce) {
    std::mutex mutex;
    std::condition_variable released;
    bool go = false;
    const Resolve slow = [&](const std::string&) -> Result<std::vector<IpAddress>> {
        std::unique_lock lock(mutex);
        released.wait(lock, [&] { return go; });
        return fail(ErrorCode::NotFound, "no such name");
    };
    start({"*.test:1"}, {.at_once = 2}, slow);

    for (uint32_t request = 1; request <= 3; ++request)
        ask(request, "a.test", 1);
    const auto third = answer().first;
    {
        const std::lock_guard lock(mutex);
        go = true;
    }
    released.notify_all();
    const auto others = uint32_t{answer().first.request} + uint32_t{answer().first.request};

    EXPECT_EQ(third.request, 3U);
    EXPECT_EQ(third.status, 503);
    EXPECT_EQ(others, 3U);
}

TEST_F(DialerTest, AQuestionThatIsNoneEndsIt) {
    start({});

    ASSERT_TRUE(proxy_.send(Bytes(20, 0xff)));
    thread_.join();

    EXPECT_FALSE(served_);
}

TEST_F(DialerTest, ItEndsWithTheProxy) {
    start({});

    proxy_ = Channel();
    thread_.join();

    EXPECT_TRUE(served_);
}

}  // namespace
}  // namespace alcove::egress

// SPDX-License-Identifier: Apache-2.0
#include "api/connection.hpp"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::api {
namespace {

constexpr VersionRange kVersions{.min = 1, .max = 1};

struct Ping {
    static constexpr uint16_t kType = 20;
    Le32 number;
};

// One Connection under test, and the plain channel of its peer.
struct Fixture : testing::Test {
    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    Channel peer;
    std::unique_ptr<Connection> connection;
    std::vector<uint32_t> numbers;
    std::vector<Error> closed;
    std::function<Result<void>(uint32_t)> reaction = [](uint32_t) { return Result<void>(); };

    Fixture() {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        peer = Channel(std::move(pair.second));
        connection = Connection::create(
                         *loop, Channel(std::move(pair.first)), Protocol::Shim, kVersions,
                         {.on_open = nullptr,
                          .on_message = [this](const Envelope& envelope, std::vector<Fd>) -> Result<void> {
                              const auto ping = TRY(decode<Ping>(envelope));
                              numbers.push_back(ping.number);
                              return reaction(ping.number);
                          },
                          .on_closed = [this](const Error& error) { closed.push_back(error); }})
                         .value();
    }

    void turn(int rounds = 20) {
        for (int i = 0; i < rounds; ++i)
            ASSERT_TRUE(loop->run_once(std::chrono::milliseconds(0)));
    }
    void greet() {
        ASSERT_TRUE(peer.send(encode_hello(Protocol::Shim, kVersions)));
        ASSERT_TRUE(peer.receive());  // its Hello
        turn();
    }
};

using ConnectionTest = Fixture;

TEST_F(ConnectionTest, OpensWithTheVersionExchange) {
    const auto hello = peer.receive().value();
    EXPECT_FALSE(connection->is_open());

    ASSERT_TRUE(peer.send(encode_hello(Protocol::Shim, kVersions)));
    turn();

    EXPECT_TRUE(connection->is_open());
    EXPECT_TRUE(accept_hello(open_envelope(hello.data).value(), Protocol::Shim, kVersions));
}

TEST_F(ConnectionTest, AMessageBeforeHelloClosesIt) {
    ASSERT_TRUE(peer.send(encode(Ping{.number = 1})));
    turn();

    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed[0].code(), ErrorCode::InvalidMessage);
    EXPECT_TRUE(numbers.empty());
}

TEST_F(ConnectionTest, AnotherVersionClosesIt) {
    ASSERT_TRUE(peer.send(encode_hello(Protocol::Shim, {.min = 9, .max = 9})));
    turn();

    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed[0].code(), ErrorCode::VersionMismatch);
}

TEST_F(ConnectionTest, AMalformedMessageClosesIt) {
    greet();

    ASSERT_TRUE(peer.send(as_byte_view("nonsense and more of it")));
    turn();

    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed[0].code(), ErrorCode::InvalidMessage);
    EXPECT_TRUE(connection->is_closed());
}

TEST_F(ConnectionTest, AnErrorOfTheHandlerClosesIt) {
    greet();
    reaction = [](uint32_t) -> Result<void> { return fail(ErrorCode::PermissionDenied, "no"); };

    ASSERT_TRUE(peer.send(encode(Ping{.number = 1})));
    ASSERT_TRUE(peer.send(encode(Ping{.number = 2})));
    turn();

    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed[0].code(), ErrorCode::PermissionDenied);
    EXPECT_EQ(numbers, std::vector<uint32_t>{1});
}

TEST_F(ConnectionTest, APeerThatHangsUpIsToldAfterItsLastWords) {
    greet();
    ASSERT_TRUE(peer.send(encode(Ping{.number = 7})));
    peer.release();
    turn();

    EXPECT_EQ(numbers, std::vector<uint32_t>{7});
    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed[0].code(), ErrorCode::ConnectionLost);
}

TEST_F(ConnectionTest, LastWordsAreHeardEvenIfSomethingIsSentToADeadPeer) {
    greet();
    ASSERT_TRUE(peer.send(encode(Ping{.number = 7})));
    peer.release();

    connection->send(encode(Ping{.number = 1}));
    turn();

    EXPECT_EQ(numbers, std::vector<uint32_t>{7});
    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed[0].code(), ErrorCode::ConnectionLost);
}

TEST_F(ConnectionTest, DrainReadsTheLastWordsWithoutTheLoop) {
    greet();
    for (uint32_t i = 0; i < 100; ++i)
        ASSERT_TRUE(peer.send(encode(Ping{.number = i})));

    connection->drain();

    EXPECT_EQ(numbers.size(), 100U);
}

TEST_F(ConnectionTest, ACallbackMayDestroyIt) {
    greet();
    reaction = [this](uint32_t) {
        connection.reset();
        return Result<void>();
    };

    ASSERT_TRUE(peer.send(encode(Ping{.number = 1})));
    ASSERT_TRUE(peer.send(encode(Ping{.number = 2})));
    turn();

    EXPECT_EQ(numbers, std::vector<uint32_t>{1});
    EXPECT_EQ(peer.receive().error().code(), ErrorCode::ConnectionLost);
}

TEST_F(ConnectionTest, WhatThePeerDoesNotReadIsQueuedInOrder) {
    greet();
    for (uint32_t i = 0; i < 900; ++i)
        connection->send(encode(Ping{.number = i}));

    for (uint32_t i = 0; i < 900; ++i) {
        turn(1);
        const auto message = peer.receive_within(std::chrono::milliseconds(1000));
        ASSERT_TRUE(message);
        ASSERT_EQ(decode<Ping>(open_envelope(message->data).value())->number, i);
    }
}

TEST_F(ConnectionTest, APeerThatDoesNotReadIsNotReadFrom) {
    greet();
    ASSERT_TRUE(sys::set_non_blocking(peer.fd(), true));
    reaction = [this](uint32_t number) {
        connection->send(encode(Ping{.number = number}));
        return Result<void>();
    };

    uint32_t taken = 0;
    for (int round = 0; round < 200; ++round) {
        while (peer.send(encode(Ping{.number = taken})))
            ++taken;
        turn(2);
    }

    EXPECT_TRUE(closed.empty());
    EXPECT_LT(taken, 5000U);
    EXPECT_LT(numbers.size(), taken);
}

TEST_F(ConnectionTest, APeerThatNeverReadsIsGivenUpInTheEnd) {
    greet();
    for (uint32_t i = 0; i < 5000; ++i)
        connection->send(encode(Ping{.number = i}));
    turn();

    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed[0].code(), ErrorCode::Busy);
}

TEST_F(ConnectionTest, DescriptorsTravelWithTheirMessage) {
    greet();
    auto pipe = sys::pipe().value();
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(pipe.second));

    connection->send(encode(Ping{.number = 1}), std::move(descriptors));
    const auto message = peer.receive().value();

    ASSERT_EQ(message.descriptors.size(), 1U);
    ASSERT_TRUE(sys::write_all(message.descriptors[0], as_byte_view("x")));
}

}  // namespace
}  // namespace alcove::api

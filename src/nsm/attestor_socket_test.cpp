// SPDX-License-Identifier: Apache-2.0
#include "nsm/attestor_socket.hpp"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::nsm {
namespace {

namespace wire = api::attestor;
using std::chrono::milliseconds;

Bytes question(uint32_t request) {
    return api::encode(wire::Describe{.request = request, .reserved = {}});
}
Bytes answer_to(uint32_t request) {
    return api::encode(wire::Done{.request = request, .reserved = {}});
}

class AttestorSocketTest : public testing::Test {
  protected:
    void connect(milliseconds timeout = std::chrono::seconds(20)) { connect({.timeout = timeout}); }
    // As a VMM has it: a loss is told, and what can wait waits.
    void connect_with_hold(milliseconds hold = std::chrono::seconds(20)) {
        connect({.hold = hold, .on_lost = [this] { ++losses; }});
    }
    void connect(AttestorSocket::Options options) {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        attestor = Channel(std::move(pair.first));
        ASSERT_TRUE(sys::set_non_blocking(attestor.fd(), true));
        client = AttestorSocket::create(*loop, std::move(pair.second), std::move(options)).value();
    }
    void restart_attestor() {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        attestor = Channel(std::move(pair.first));
        ASSERT_TRUE(sys::set_non_blocking(attestor.fd(), true));
        ASSERT_TRUE(client->replace(std::move(pair.second)));
    }
    void ask(uint32_t request) { ask(request, question(request)); }
    void ask(uint32_t request, Bytes message) {
        client->ask(request, std::move(message),
                    [this](Result<Bytes> answer) { answers.push_back(std::move(answer)); });
    }
    void run() {
        for (int i = 0; i < 8; ++i)
            ASSERT_TRUE(loop->run_once(milliseconds(1)));
    }
    ErrorCode failure(size_t index) const {
        return answers.at(index) ? ErrorCode{} : answers.at(index).error().code();
    }

    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    Channel attestor;
    std::unique_ptr<AttestorSocket> client;
    std::vector<Result<Bytes>> answers;
    int losses = 0;
};

TEST_F(AttestorSocketTest, OneRequestIsInFlightAndAnswersComeInOrder) {
    connect();
    ask(1);
    ask(2);
    run();

    EXPECT_EQ(attestor.receive()->data, question(1));
    EXPECT_EQ(attestor.receive().error().code(), ErrorCode::Busy);
    ASSERT_TRUE(attestor.send(answer_to(1)));
    run();
    EXPECT_EQ(attestor.receive()->data, question(2));
    ASSERT_TRUE(attestor.send(answer_to(2)));
    run();

    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(answers[0].value(), answer_to(1));
    EXPECT_EQ(answers[1].value(), answer_to(2));
}

TEST_F(AttestorSocketTest, ALateAnswerIsDropped) {
    connect(milliseconds(1));
    ask(1);
    run();
    ASSERT_EQ(failure(0), ErrorCode::Timeout);

    ASSERT_TRUE(attestor.send(answer_to(1)));
    run();
    client.reset();
    EXPECT_EQ(answers.size(), 1U);
}

TEST_F(AttestorSocketTest, TheAnswerToAnotherRequestIsNotTaken) {
    connect();
    ask(1);

    ASSERT_TRUE(attestor.send(answer_to(7)));
    run();
    EXPECT_TRUE(answers.empty());
    ASSERT_TRUE(attestor.send(answer_to(1)));
    run();

    ASSERT_EQ(answers.size(), 1U);
    EXPECT_TRUE(answers[0]);
}

TEST_F(AttestorSocketTest, ALostAttestorFailsAllThatWaitsAndAllThatFollows) {
    connect();
    ask(1);
    ask(2);
    attestor.release();
    run();
    ask(3);
    EXPECT_EQ(answers.size(), 2U) << "never from within ask()";
    run();

    ASSERT_EQ(answers.size(), 3U);
    for (size_t i = 0; i < 3; ++i)
        EXPECT_EQ(failure(i), ErrorCode::ConnectionLost);
    EXPECT_FALSE(client->is_connected());
}

TEST_F(AttestorSocketTest, ALossIsToldOnceAndWhatIsAskedMeanwhileWaits) {
    connect_with_hold();
    attestor.release();
    run();
    ask(1);
    ask(2);
    run();
    ASSERT_TRUE(answers.empty());
    EXPECT_EQ(losses, 1);

    restart_attestor();
    EXPECT_EQ(attestor.receive()->data, question(1));
    ASSERT_TRUE(attestor.send(answer_to(1)));
    run();
    EXPECT_EQ(attestor.receive()->data, question(2));
    ASSERT_TRUE(attestor.send(answer_to(2)));
    run();

    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(answers[0].value(), answer_to(1));
    EXPECT_EQ(answers[1].value(), answer_to(2));
    EXPECT_EQ(losses, 1);
}

TEST_F(AttestorSocketTest, AQuestionInFlightIsAskedAgain) {
    const Bytes questions[] = {question(1), api::encode(wire::DescribePcr{.request = 1, .index = 3}),
                               api::encode(wire::LockPcrs{.request = 1, .range = 20}),
                               wire::encode_attest(1, {})};
    for (const auto& asked : questions) {
        connect_with_hold();
        ask(1, asked);
        attestor.release();
        run();

        restart_attestor();

        EXPECT_EQ(attestor.receive()->data, asked);
    }
    EXPECT_TRUE(answers.empty());
}

// Nobody knows whether the attestor had done it: done twice, a register would have a value that the guest
// can not explain.
TEST_F(AttestorSocketTest, AChangeInFlightFailsAndIsNotMadeAgain) {
    const Bytes changes[] = {api::encode(wire::ExtendPcr{.request = 1, .index = 16}, Bytes{1, 2, 3}),
                             api::encode(wire::LockPcr{.request = 1, .index = 16})};
    for (const auto& change : changes) {
        connect_with_hold();
        ask(1, change);
        attestor.release();
        run();
        ASSERT_FALSE(answers.empty());
        EXPECT_EQ(answers.back().error().code(), ErrorCode::ConnectionLost);

        restart_attestor();
        run();

        EXPECT_EQ(attestor.receive().error().code(), ErrorCode::Busy);
    }
    EXPECT_EQ(answers.size(), std::size(changes));
}

TEST_F(AttestorSocketTest, NobodyWaitsForEverForAnAttestorThatDoesNotComeBack) {
    connect_with_hold(milliseconds(20));
    attestor.release();
    ASSERT_TRUE(loop->run_once(milliseconds(1)));
    ask(1);
    for (int i = 0; i < 1000 && answers.empty(); ++i)
        ASSERT_TRUE(loop->run_once(milliseconds(10)));

    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(failure(0), ErrorCode::ConnectionLost);

    restart_attestor();
    ask(2);
    EXPECT_EQ(attestor.receive()->data, question(2)) << "late is better than never";
}

TEST_F(AttestorSocketTest, WhatWaitsFailsWhenThereIsNoHope) {
    connect_with_hold();
    ask(1);
    attestor.release();
    run();
    ASSERT_TRUE(answers.empty());

    client->give_up();
    ask(2);
    run();

    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(failure(0), ErrorCode::ConnectionLost);
    EXPECT_EQ(failure(1), ErrorCode::ConnectionLost);
    EXPECT_EQ(losses, 1);
}

TEST_F(AttestorSocketTest, EverySocketsLossIsTold) {
    connect_with_hold();
    for (int i = 0; i < 3; ++i) {
        attestor.release();
        run();
        restart_attestor();
    }

    EXPECT_EQ(losses, 3);
    EXPECT_TRUE(client->is_connected());
}

TEST_F(AttestorSocketTest, TooManyRequestsAreRefused) {
    connect();
    for (uint32_t i = 0; i <= AttestorSocket::kMaxWaiting; ++i)
        ask(i);
    run();

    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(failure(0), ErrorCode::Busy);
}

TEST_F(AttestorSocketTest, ARefusalOfTheProtocolEndsTheConnectionForGood) {
    connect_with_hold();
    ask(1);
    ASSERT_TRUE(attestor.send(api::encode_failed(0, Error(ErrorCode::InvalidMessage, "no"))));
    run();

    EXPECT_EQ(failure(0), ErrorCode::InvalidMessage);
    EXPECT_FALSE(client->is_connected());
    EXPECT_EQ(losses, 0);
}

TEST_F(AttestorSocketTest, NothingIsCalledAfterItIsGone) {
    connect();
    ask(1);
    attestor.release();
    ASSERT_TRUE(loop->run_once(milliseconds(1)));
    const auto before = answers.size();

    client.reset();
    run();

    EXPECT_EQ(answers.size(), before);
}

}  // namespace
}  // namespace alcove::nsm

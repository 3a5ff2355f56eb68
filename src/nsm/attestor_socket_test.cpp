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
    void connect(milliseconds timeout = std::chrono::seconds(20)) {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        attestor = Channel(std::move(pair.first));
        ASSERT_TRUE(sys::set_non_blocking(attestor.fd(), true));
        client = AttestorSocket::create(*loop, std::move(pair.second), timeout).value();
    }
    void ask(uint32_t request) {
        client->ask(request, question(request),
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

TEST_F(AttestorSocketTest, AnotherSocketTakesItsPlace) {
    connect();
    ask(1);
    attestor.release();
    run();
    auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
    attestor = Channel(std::move(pair.first));

    ASSERT_TRUE(client->replace(std::move(pair.second)));
    ask(2);
    EXPECT_EQ(attestor.receive()->data, question(2));
    ASSERT_TRUE(attestor.send(answer_to(2)));
    run();

    ASSERT_EQ(answers.size(), 2U);
    EXPECT_TRUE(answers[1]);
}

TEST_F(AttestorSocketTest, TooManyRequestsAreRefused) {
    connect();
    for (uint32_t i = 0; i <= AttestorSocket::kMaxWaiting; ++i)
        ask(i);
    run();

    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(failure(0), ErrorCode::Busy);
}

TEST_F(AttestorSocketTest, ARefusalOfTheProtocolEndsTheConnection) {
    connect();
    ask(1);
    ASSERT_TRUE(attestor.send(api::encode_failed(0, Error(ErrorCode::InvalidMessage, "no"))));
    run();

    EXPECT_EQ(failure(0), ErrorCode::InvalidMessage);
    EXPECT_FALSE(client->is_connected());
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

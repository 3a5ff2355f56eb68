// SPDX-License-Identifier: Apache-2.0
#include "daemon/peer.hpp"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::daemon {
namespace {

using std::chrono::milliseconds;
constexpr api::VersionRange kVersions{.min = 1, .max = 1};

struct Note {
    static constexpr uint16_t kType = 20;
    Le32 request;
    Le32 number;
};

// A Peer on a loop, and the other end of its socket in the test's hands.
class PeerTest : public testing::Test {
  protected:
    PeerTest() {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        other_ = Channel(std::move(pair.second));
        Peer::Handlers handlers;
        handlers.open = [this] { opened_ = true; };
        handlers.message = [this](const Peer::Message& message) -> Result<void> {
            const auto note = TRY(api::decode<Note>(message.envelope));
            notes_.push_back(note.number);
            return {};
        };
        handlers.closed = [this](const Error& error) { closed_.push_back(error.code()); };
        peer_ =
            Peer::create(*loop_, std::move(pair.first), api::Protocol::Shim, kVersions, std::move(handlers))
                .value();
    }
    void greet() {
        ASSERT_TRUE(other_.send(api::encode_hello(api::Protocol::Shim, kVersions)));
        turn();
        ASSERT_TRUE(opened_);
        ASSERT_TRUE(other_.receive_within(milliseconds(1000)));  // its Hello
    }
    void turn(milliseconds time = milliseconds(20)) {
        const auto end = EventLoop::Clock::now() + time;
        while (EventLoop::Clock::now() < end)
            loop_->run_once(milliseconds(5)).value();
    }
    uint32_t ask(milliseconds timeout = milliseconds(5000)) {
        const uint32_t id = peer_->next_request();
        peer_->request(id, api::encode(Note{.request = id, .number = 0}), {}, timeout,
                       [this](const Result<Peer::Message>& answer) {
                           answers_.push_back(answer ? ErrorCode{} : answer.error().code());
                       });
        return id;
    }

    std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
    Channel other_;
    std::unique_ptr<Peer> peer_;
    bool opened_ = false;
    std::vector<uint32_t> notes_;
    std::vector<ErrorCode> closed_;
    std::vector<ErrorCode> answers_;  // ErrorCode{} for a good one
};

TEST_F(PeerTest, AnswersFindTheirRequestsInAnyOrder) {
    greet();
    const uint32_t first = ask();
    const uint32_t second = ask();
    ASSERT_TRUE(other_.send(api::encode_failed(second, Error(ErrorCode::Busy, "no"))));
    turn();
    ASSERT_TRUE(other_.send(api::encode(Note{.request = first, .number = 1})));
    turn();

    EXPECT_EQ(answers_, (std::vector{ErrorCode::Busy, ErrorCode{}}));
    EXPECT_TRUE(notes_.empty());
}

TEST_F(PeerTest, ARequestHasADeadlineAndALateAnswerIsNobodys) {
    greet();
    const uint32_t id = ask(milliseconds(10));
    turn(milliseconds(40));
    EXPECT_EQ(answers_, std::vector{ErrorCode::Timeout});

    ASSERT_TRUE(other_.send(api::encode(Note{.request = id, .number = 1})));
    turn();

    EXPECT_EQ(answers_.size(), 1U);
    EXPECT_TRUE(closed_.empty());
}

TEST_F(PeerTest, WhatNobodyAskedForIsDelivered) {
    greet();
    ASSERT_TRUE(other_.send(api::encode(Note{.request = 0, .number = 7})));
    turn();

    EXPECT_EQ(notes_, std::vector<uint32_t>{7});
}

TEST_F(PeerTest, GivenUpItAnswersEverythingThatWaits) {
    greet();
    ask();
    peer_->give_up(Error(ErrorCode::InvalidMessage, "nonsense"));

    EXPECT_EQ(answers_, std::vector{ErrorCode::InvalidMessage});
    EXPECT_EQ(closed_, std::vector{ErrorCode::InvalidMessage});
    ASSERT_TRUE(other_.receive_within(milliseconds(1000)));  // the request
    EXPECT_EQ(other_.receive_within(milliseconds(1000)).error().code(), ErrorCode::ConnectionLost);
}

TEST_F(PeerTest, TheEndAnswersEverythingThatWaits) {
    greet();
    ask();
    ask();
    other_ = Channel();
    turn();

    EXPECT_EQ(answers_, (std::vector{ErrorCode::ConnectionLost, ErrorCode::ConnectionLost}));
    EXPECT_EQ(closed_, std::vector{ErrorCode::ConnectionLost});
    ask();
    EXPECT_EQ(answers_.size(), 2U);  // never from inside request()
    turn();
    EXPECT_EQ(answers_.size(), 3U);
}

TEST_F(PeerTest, TooManyRequestsAreRefused) {
    greet();
    for (size_t i = 0; i <= Peer::kMaxRequests; ++i)
        ask();
    turn();

    EXPECT_EQ(answers_, std::vector{ErrorCode::Busy});
}

TEST_F(PeerTest, AnotherProtocolIsRefused) {
    ASSERT_TRUE(other_.send(api::encode_hello(api::Protocol::Broker, kVersions)));
    turn();

    EXPECT_FALSE(opened_);
    EXPECT_EQ(closed_, std::vector{ErrorCode::InvalidMessage});
}

TEST_F(PeerTest, AMalformedMessageClosesTheConnection) {
    greet();
    ask();
    ASSERT_TRUE(other_.send(Bytes(5, 0xff)));
    turn();

    EXPECT_EQ(closed_, std::vector{ErrorCode::InvalidMessage});
    EXPECT_EQ(answers_, std::vector{ErrorCode::InvalidMessage});
}

TEST_F(PeerTest, ARetiredPeerCallsNobody) {
    greet();
    ask();
    Peer::retire(*loop_, std::move(peer_));
    other_ = Channel();
    turn();

    EXPECT_TRUE(answers_.empty());
    EXPECT_TRUE(closed_.empty());
}

}  // namespace
}  // namespace alcove::daemon

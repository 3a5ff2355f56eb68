// SPDX-License-Identifier: Apache-2.0
#include "key_service/message_stream.hpp"

#include <thread>

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "key_service/protocol.hpp"
#include "support/system.hpp"

namespace alcove::key_service {
namespace {

using namespace std::chrono_literals;

class MessageStreamTest : public ::testing::Test {
  protected:
    MessageStreamTest() : pair_(sys::socket_pair(SOCK_STREAM).value()) {
        peer_ = std::move(pair_.second);
        stream_.emplace(MessageStream::create(std::move(pair_.first)).value());
    }

    void peer_sends(const Bytes& bytes) { ASSERT_TRUE(sys::write_all(peer_, bytes)); }

    sys::Pair pair_;
    Fd peer_;
    std::optional<MessageStream> stream_;
};

TEST_F(MessageStreamTest, MessageHasItsLengthInFront) {
    ASSERT_TRUE(stream_->send(Bytes{7, 8, 9}, 1s));
    Bytes bytes(7);
    ASSERT_TRUE(sys::read_exact(peer_, bytes));
    EXPECT_EQ(bytes, (Bytes{0, 0, 0, 3, 7, 8, 9}));
}

TEST_F(MessageStreamTest, MessagesInOneReadAreToldApart) {
    peer_sends({0, 0, 0, 1, 5, 0, 0, 0, 0, 0, 0, 0, 2, 6, 7});
    EXPECT_EQ(stream_->receive(1s).value(), Bytes{5});
    EXPECT_EQ(stream_->receive(1s).value(), Bytes{});
    EXPECT_EQ(stream_->receive(1s).value(), (Bytes{6, 7}));
}

TEST_F(MessageStreamTest, CloseBetweenMessagesIsAnEndAndNoError) {
    peer_.reset();
    const auto received = stream_->receive(1s);
    ASSERT_TRUE(received);
    EXPECT_FALSE(received->has_value());
}

TEST_F(MessageStreamTest, CloseInsideAMessageIsAnError) {
    peer_sends({0, 0, 0, 4, 1});
    peer_.reset();
    const auto received = stream_->receive(1s);
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().code(), ErrorCode::ConnectionLost);
}

TEST_F(MessageStreamTest, CloseInsideALengthIsAnError) {
    peer_sends({0, 0});
    peer_.reset();
    EXPECT_FALSE(stream_->receive(1s));
}

TEST_F(MessageStreamTest, LengthOverTheLimitIsRefusedBeforeAnythingIsReserved) {
    peer_sends({0xff, 0xff, 0xff, 0xff});
    const auto received = stream_->receive(1s);
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().code(), ErrorCode::InvalidMessage);
}

TEST_F(MessageStreamTest, PeerThatStopsInAMessageIsLeftAfterTheLimit) {
    peer_sends({0, 0, 0, 4, 1, 2});
    const auto received = stream_->receive(20ms);
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().code(), ErrorCode::Timeout);
}

TEST_F(MessageStreamTest, PeerThatReadsNothingIsLeftAfterTheLimit) {
    Result<void> sent;
    for (int i = 0; i < 10'000 && sent; ++i)
        sent = stream_->send(Bytes(kMessageLimit), 20ms);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code(), ErrorCode::Timeout);
}

TEST_F(MessageStreamTest, LargestMessagePasses) {
    Bytes large(kMessageLimit);
    for (size_t i = 0; i < large.size(); ++i)
        large[i] = static_cast<uint8_t>(i * 7);
    MessageStream other = MessageStream::create(std::move(peer_)).value();
    std::thread sender([&] { EXPECT_TRUE(other.send(large, 5s)); });
    const auto received = stream_->receive(5s);
    sender.join();
    ASSERT_TRUE(received);
    EXPECT_EQ(*received, large);
}

TEST_F(MessageStreamTest, LineEndsBeforeTheFirstMessage) {
    peer_sends({'O', 'K', '\n', 0, 0, 0, 1, 9});
    EXPECT_EQ(stream_->receive_line(16, 1s).value(), "OK");
    EXPECT_EQ(stream_->receive(1s).value(), Bytes{9});
}

TEST_F(MessageStreamTest, EndlessLineIsRefused) {
    peer_sends(Bytes(17, 'x'));
    EXPECT_FALSE(stream_->receive_line(16, 1s));
}

}  // namespace
}  // namespace alcove::key_service

// SPDX-License-Identifier: Apache-2.0
#include "support/channel.hpp"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove {
namespace {

struct Ends {
    Channel a;
    Channel b;
};

Ends make_ends() {
    auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
    return {Channel(std::move(pair.first)), Channel(std::move(pair.second))};
}

TEST(Channel, CarriesBytesAndDescriptors) {
    auto ends = make_ends();
    auto pipe = sys::pipe().value();

    ASSERT_TRUE(ends.a.send(as_byte_view("hello"), {pipe.second.get()}));
    auto message = ends.b.receive();

    ASSERT_TRUE(message) << message.error().to_string();
    EXPECT_EQ(as_text(message->data), "hello");
    ASSERT_EQ(message->descriptors.size(), 1U);
    ASSERT_TRUE(sys::write_all(message->descriptors[0], as_byte_view("!")));
    uint8_t byte = 0;
    ASSERT_TRUE(sys::read_exact(pipe.first, {&byte, 1}));
    EXPECT_EQ(byte, '!');
}

TEST(Channel, AGonePeerIsSaid) {
    auto ends = make_ends();
    ends.a.release();

    EXPECT_EQ(ends.b.receive().error().code(), ErrorCode::ConnectionLost);
    EXPECT_EQ(ends.b.send(as_byte_view("x")).error().code(), ErrorCode::ConnectionLost);
}

TEST(Channel, WaitingEndsAtTheDeadline) {
    auto ends = make_ends();

    EXPECT_EQ(ends.a.receive_within(std::chrono::milliseconds(5)).error().code(), ErrorCode::Timeout);
}

TEST(Channel, AMessageOverTheLimitIsRefused) {
    auto ends = make_ends();
    const Bytes large(Channel::kMaxMessage + 1, 0);
    ASSERT_EQ(::send(ends.a.fd().get(), large.data(), large.size(), 0), static_cast<ssize_t>(large.size()));

    EXPECT_EQ(ends.b.receive().error().code(), ErrorCode::InvalidMessage);
}

}  // namespace
}  // namespace alcove

// SPDX-License-Identifier: Apache-2.0
#include "embedded/handover.hpp"

#include <filesystem>
#include <thread>

#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "api/descriptor_messages.hpp"
#include "support/system.hpp"

namespace alcove::embedded {
namespace {

namespace descriptors = api::descriptors;

constexpr const char* kToken = "0123456789abcdef0123456789abcdef";

class HandoverTest : public testing::Test {
  protected:
    ~HandoverTest() override {
        if (server_.joinable()) server_.join();
        std::filesystem::remove(path_);
    }
    // alcoved, for one offer: keeps the descriptor, or refuses it.
    void serve(bool refuse) {
        auto listener = sys::unix_listen(path_, SOCK_SEQPACKET, 0600).value();
        server_ = std::thread([this, refuse, listener = std::move(listener)] {
            const Channel client(sys::accept(listener).value());
            api::exchange_hello(client, descriptors::kProtocol, descriptors::kVersions).value();
            auto message = client.receive().value();
            const auto offer =
                api::decode<descriptors::Offer>(api::open_envelope(message.data).value()).value();
            if (refuse) {
                const Error error(ErrorCode::LimitExceeded, "too many wait");
                client.send(api::encode_failed(offer.request, error)).value();
                return;
            }
            kept_ = std::move(message.descriptors.at(0));
            descriptors::Token answer{.request = offer.request, .valid_seconds = 60, .token = {}};
            answer.token = decltype(answer.token)::of(kToken);
            client.send(api::encode(answer)).value();
        });
    }

    std::string path_ = testing::TempDir() + "handover." + std::to_string(::getpid()) + ".sock";
    sys::Pair stream_ = sys::socket_pair(SOCK_STREAM).value();  // outer end, inner end
    Fd kept_;
    std::thread server_;
};

TEST_F(HandoverTest, AStreamIsOfferedAndGoesOnBehindItsToken) {
    serve(false);

    ASSERT_TRUE(serve_handover(stream_.second, kStreamTarget, path_));
    server_.join();
    ASSERT_TRUE(sys::write_all(kept_, as_byte_view("a frame")));
    const auto token = read_token(stream_.first);
    Bytes after(7);
    ASSERT_TRUE(sys::read_exact(stream_.first, after));

    EXPECT_EQ(token.value(), kToken);
    EXPECT_EQ(as_text(after), "a frame");
}

TEST_F(HandoverTest, ARefusalIsToldWithItsCode) {
    serve(true);

    EXPECT_FALSE(serve_handover(stream_.second, kStreamTarget, path_));

    EXPECT_EQ(read_token(stream_.first).error().code(), ErrorCode::LimitExceeded);
}

TEST_F(HandoverTest, ATapThatIsNotThereIsTold) {
    EXPECT_FALSE(serve_handover(stream_.second, tap_target("alcove-none"), path_));

    const auto token = read_token(stream_.first);
    EXPECT_EQ(token.error().code(), ErrorCode::NotFound);
    EXPECT_NE(token.error().to_string().find("alcove-none"), std::string::npos);
}

TEST_F(HandoverTest, WhatIsNoAnswerIsRefused) {
    for (const std::string& answer :
         {std::string("tok\n"), std::string("failed\n"), std::string(5000, 'x'), std::string()}) {
        auto ends = sys::socket_pair(SOCK_STREAM).value();
        ASSERT_TRUE(sys::write_all(ends.second, as_byte_view(answer)));
        ends.second.reset();

        EXPECT_FALSE(read_token(ends.first)) << answer.substr(0, 10);
    }
}

}  // namespace
}  // namespace alcove::embedded

// SPDX-License-Identifier: Apache-2.0
#include "key_service/server.hpp"

#include <atomic>
#include <csignal>
#include <optional>
#include <thread>
#include <vector>

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "key_service/client.hpp"
#include "key_service/fake_attester.hpp"
#include "support/system.hpp"

namespace alcove::key_service {
namespace {

using namespace std::chrono_literals;

class ServerTest : public ::testing::Test {
  protected:
    ServerTest() { std::signal(SIGPIPE, SIG_IGN); }

    Fd connect() {
        sys::Pair pair = sys::socket_pair(SOCK_STREAM).value();
        server_->take(std::move(pair.second));
        return std::move(pair.first);
    }
    Client connect_client() { return Client(MessageStream::create(connect()).value()); }

    FakeAttester attester_;
    KeyService service_ = KeyService::create(attester_).value();
    std::optional<Server> server_{std::in_place, service_, ServerLimits{.clients = 4, .patience = 5s}};
};

TEST_F(ServerTest, ClientGetsADocumentAndThenAnAnswer) {
    Client client = connect_client();
    const Bytes document = client.challenge(Bytes{5, 6}).value();
    EXPECT_EQ(as_text(document), FakeAttester::text_for(service_.public_key(), Bytes{5, 6}));
    const Opened opened = client.send_secret(service_.public_key(), as_byte_view("hello")).value();
    EXPECT_EQ(opened.length, 5u);
    EXPECT_EQ(as_text(opened.echo), "hello");
}

TEST_F(ServerTest, SecretForAWrongKeyIsRefused) {
    Client client = connect_client();
    const Bytes other_key = KeyPair::generate().value().public_key();
    const auto opened = client.send_secret(other_key, as_byte_view("hello"));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().message(),
              "the service refuses: this was not sealed for the key of this service");
}

TEST_F(ServerTest, ClientsAreServedSideBySide) {
    // Each is connected before the first asks, so none may wait for another's end.
    std::vector<Client> clients;
    for (int i = 0; i < 4; ++i)
        clients.push_back(connect_client());
    std::atomic<int> answered = 0;
    std::vector<std::thread> threads;
    for (Client& client : clients) {
        threads.emplace_back([&] {
            for (int round = 0; round < 8; ++round) {
                if (client.send_secret(service_.public_key(), as_byte_view("x"))) ++answered;
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(answered, 32);
}

TEST_F(ServerTest, OneClientTooManyIsToldAndThePlaceIsGivenOnLater) {
    std::vector<Client> clients;
    for (int i = 0; i < 4; ++i)
        clients.push_back(connect_client());
    {
        Client fifth = connect_client();
        const auto document = fifth.challenge({});
        ASSERT_FALSE(document);
        EXPECT_EQ(document.error().code(), ErrorCode::Busy);
    }
    clients.pop_back();
    Result<Bytes> document = fail(ErrorCode::Busy, "not tried yet");
    for (int attempt = 0; attempt < 500 && !document; ++attempt) {
        std::this_thread::sleep_for(10ms);
        document = connect_client().challenge({});
    }
    EXPECT_TRUE(document);
}

TEST_F(ServerTest, NonsenseIsRefusedAndTheConnectionGoesOn) {
    MessageStream stream = MessageStream::create(connect()).value();
    ASSERT_TRUE(stream.send(Bytes{1, 0x44}, 5s));
    const auto refused = stream.receive(5s).value();
    ASSERT_TRUE(refused);
    EXPECT_TRUE(std::holds_alternative<Refusal>(decode_reply(*refused).value()));
    ASSERT_TRUE(stream.send(encode(Request(Challenge{})), 5s));
    const auto answered = stream.receive(5s).value();
    ASSERT_TRUE(answered);
    EXPECT_TRUE(std::holds_alternative<Document>(decode_reply(*answered).value()));
}

TEST_F(ServerTest, LengthOverTheLimitEndsTheConnection) {
    const Fd connection = connect();
    ASSERT_TRUE(sys::write_all(connection, Bytes{0xff, 0xff, 0xff, 0xff}));
    Bytes byte(1);
    const auto received = sys::read_some(connection, byte);
    ASSERT_TRUE(received);
    EXPECT_EQ(received->bytes, 0u);
}

TEST_F(ServerTest, SilentClientIsClosedAfterThePatience) {
    server_.reset();
    server_.emplace(service_, ServerLimits{.clients = 1, .patience = 20ms});
    const Fd connection = connect();
    ASSERT_TRUE(sys::write_all(connection, Bytes{0, 0}));
    Bytes byte(1);
    const auto received = sys::read_some(connection, byte);
    ASSERT_TRUE(received);
    EXPECT_EQ(received->bytes, 0u);
}

}  // namespace
}  // namespace alcove::key_service

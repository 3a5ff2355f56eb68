// SPDX-License-Identifier: Apache-2.0
//
// The client of QEMU's protocol against a server that plays a script: lines it sends, lines it expects.
#include "embedded/qmp.hpp"

#include <cstdlib>
#include <thread>

#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/channel.hpp"
#include "support/system.hpp"

namespace alcove::embedded {
namespace {

using std::chrono::milliseconds;
constexpr const char* kGreeting = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

class Qmp : public testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/alcove-qmp-test-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        folder_ = name;
        auto listener = sys::unix_listen(path(), SOCK_STREAM, 0600);
        ASSERT_TRUE(listener.has_value());
        listener_ = std::move(listener).value();
    }
    void TearDown() override {
        if (server_.joinable()) server_.join();
        ::unlink(path().c_str());
        ::rmdir(folder_.c_str());
    }
    std::string path() const { return folder_ + "/qmp"; }

    // Sends `first`, then answers the n-th line that comes with the n-th of `answers`, then stays until the
    // client goes.
    void serve(const std::string& first, std::vector<std::string> answers) {
        server_ = std::thread([this, first, answers = std::move(answers)] {
            const auto client = sys::accept(listener_);
            ASSERT_TRUE(client.has_value());
            send(*client, first);
            for (const auto& answer : answers) {
                requests_.push_back(read_line(*client));
                send(*client, answer);
            }
            read_line(*client);
        });
    }
    static void send(const Fd& to, const std::string& text) {
        static_cast<void>(sys::write_some(to, as_byte_view(text)).has_value());
    }
    static std::string read_line(const Fd& from) {
        std::string line;
        Bytes one(1);
        while (sys::read_exact(from, one)) {
            if (one[0] == '\n') break;
            line.push_back(static_cast<char>(one[0]));
        }
        return line;
    }

    std::string folder_;
    Fd listener_;
    std::thread server_;
    std::vector<std::string> requests_;
};

TEST_F(Qmp, ACommandGivesItsReturnValue) {
    serve(kGreeting, {"{\"return\": {}}\r\n", "{\"return\": {\"status\": \"running\"}}\r\n"});
    auto client = QmpClient::connect(path(), milliseconds(5000));
    ASSERT_TRUE(client.has_value()) << client.error().to_string();

    const auto value = client->execute("query-status", {{"a", 1}});

    ASSERT_TRUE(value.has_value());
    EXPECT_EQ((*value)["status"], "running");
    EXPECT_EQ(requests_[0], R"({"execute":"qmp_capabilities"})");
    EXPECT_EQ(requests_[1], R"({"arguments":{"a":1},"execute":"query-status"})");
}

TEST_F(Qmp, ARefusalCarriesQemusWords) {
    serve(kGreeting,
          {"{\"return\": {}}\n", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such node\"}}\n"});
    auto client = QmpClient::connect(path(), milliseconds(5000));
    ASSERT_TRUE(client.has_value());
    const auto value = client->execute("blockdev-del");
    ASSERT_FALSE(value.has_value());
    EXPECT_EQ(value.error().code(), ErrorCode::EmbeddedHostFailed);
    EXPECT_NE(value.error().message().find("no such node"), std::string::npos);
}

TEST_F(Qmp, EventsBetweenAreKeptAndFoundLater) {
    serve(kGreeting,
          {"{\"return\": {}}\n",
           "{\"event\": \"DEVICE_DELETED\", \"data\": {\"path\": \"/x\"}}\n"
           "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"disk-a\"}}\n{\"return\": {}}\n"});
    auto client = QmpClient::connect(path(), milliseconds(5000));
    ASSERT_TRUE(client.has_value());
    ASSERT_TRUE(client->execute("device_del").has_value());
    EXPECT_TRUE(client->wait_event("DEVICE_DELETED", "device", "disk-a", milliseconds(1000)).has_value());
    EXPECT_EQ(client->wait_event("DEVICE_DELETED", "device", "disk-a", milliseconds(50)).error().code(),
              ErrorCode::Timeout);
}

TEST_F(Qmp, ADescriptorTravelsWithItsCommand) {
    std::string received;
    server_ = std::thread([&] {
        auto client = sys::accept(listener_);
        ASSERT_TRUE(client.has_value());
        send(*client, kGreeting);
        read_line(*client);
        send(*client, "{\"return\": {}}\n");
        const auto message = Channel(std::move(client).value()).receive();  // works on any socket
        ASSERT_TRUE(message.has_value());
        ASSERT_EQ(message->descriptors.size(), 1u);
        Bytes content(5);
        ASSERT_TRUE(sys::read_exact_at(message->descriptors[0], content, 0).has_value());
        received = as_text(content);
    });
    const auto file = sys::memfd("x");
    ASSERT_TRUE(sys::write_all_at(*file, as_byte_view("image"), 0).has_value());
    auto client = QmpClient::connect(path(), milliseconds(5000));
    ASSERT_TRUE(client.has_value());
    EXPECT_EQ(client->execute("add-fd", QmpClient::Json::object(), &*file).error().code(),
              ErrorCode::ConnectionLost);
    server_.join();
    EXPECT_EQ(received, "image");
}

TEST_F(Qmp, NobodyListeningMeansThatTheHostDoesNotRun) {
    EXPECT_EQ(QmpClient::connect(folder_ + "/other", milliseconds(100)).error().code(),
              ErrorCode::EmbeddedHostNotRunning);
}

class NotQemu : public Qmp, public testing::WithParamInterface<const char*> {};

TEST_P(NotQemu, IsAnErrorAndNeverACrash) {
    serve(GetParam(), {});
    EXPECT_FALSE(QmpClient::connect(path(), milliseconds(300)).has_value());
}

INSTANTIATE_TEST_SUITE_P(Greetings, NotQemu,
                         testing::Values("", "\n", "hello\n", "[]\n", "42\n", "{\"QMP\n", "{}\n",
                                         "{\"return\":1}\n", "{\"QMP\":1}\n\xff\xfe\n", "\"QMP\"\n"));

}  // namespace
}  // namespace alcove::embedded

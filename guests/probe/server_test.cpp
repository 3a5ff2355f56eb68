// SPDX-License-Identifier: Apache-2.0
//
// The accepting loop over a Unix listener: it does not look at the kind of socket.
#include "probe/server.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::probe {
namespace {

class ProbeServer : public testing::Test {
  protected:
    ProbeServer() {
        std::signal(SIGPIPE, SIG_IGN);  // as main() does
        char name[] = "/tmp/probe_server_XXXXXX";
        directory_ = mkdtemp(name);
        listener_ = sys::unix_listen(directory_ + "/socket", SOCK_STREAM, 0600, 600).value();
        // Connections may still read them when the test is over.
        static const Surroundings surroundings{.report = "done\n", .connect = {}};
        server_ = std::thread([this] { EXPECT_FALSE(serve_all(listener_, surroundings)); });
    }
    ~ProbeServer() override {
        shutdown(listener_.get(), SHUT_RDWR);
        server_.join();
        std::filesystem::remove_all(directory_);
    }

    Fd connect() const { return sys::unix_connect(directory_ + "/socket", SOCK_STREAM).value(); }

    // Sends a line; what comes first, empty at the end of the stream.
    static std::string ask(const Fd& client, std::string_view line) {
        static_cast<void>(sys::write_some(client, as_byte_view(line)));
        Bytes answer(100);
        const auto got = sys::read_some(client, answer);
        return got ? std::string(as_text(ByteView(answer).first(got->bytes))) : "";
    }

    std::string directory_;
    Fd listener_;
    std::thread server_;
};

TEST_F(ProbeServer, SilentConnectionsDoNotKeepOthersWaiting) {
    std::vector<Fd> silent;
    for (int i = 0; i < 64; ++i)
        silent.push_back(connect());
    EXPECT_EQ(ask(connect(), "report\n"), "done\n");
    EXPECT_EQ(ask(silent[63], "report\n"), "done\n");
    EXPECT_EQ(ask(silent[0], "report\n"), "done\n");
}

TEST_F(ProbeServer, ConnectionsBeyondTheLimitAreClosed) {
    // Those of an earlier test may still have their places, and give them up at any moment.
    constexpr unsigned kOfAnEarlierTest = 65;
    std::vector<Fd> clients;
    for (unsigned i = 0; i < kMostConnections + kOfAnEarlierTest; ++i)
        clients.push_back(connect());
    EXPECT_EQ(ask(clients.front(), "echo\nx"), "x");
    EXPECT_EQ(ask(connect(), "report\n"), "");
}

}  // namespace
}  // namespace alcove::probe

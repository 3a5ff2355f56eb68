// SPDX-License-Identifier: Apache-2.0
//
// Connecting and listening against the real daemon; the test plays the VM, whose sockets are in its folder.
#include <csignal>
#include <future>

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "cli/captured_test.hpp"
#include "cli/read_to_end_test.hpp"
#include "daemon/daemon.hpp"
#include "daemon/fake_host_test.hpp"

namespace alcove::cli {
namespace {

class PortCommands : public testing::Test {
  protected:
    void SetUp() override {
        if (host::read_topology()->cores.size() < 2)
            GTEST_SKIP() << "this host has a single core, and that is never lent";
        ::setenv("ALCOVE_SOCKET", (run_ + "/alcoved.sock").c_str(), 1);
        config_.run_directory = run_;
        config_.view_directory = directory_.path() + "/view";
        config_.state_directory = directory_.path() + "/state";
        config_.supervisor.retry_after = std::chrono::milliseconds(20);
        daemon_ = daemon::Daemon::start(config_).value();
        while (!call({"host", "status", "--json"}).json()["resources"]["broker"]["connected"].get<bool>())
            ::usleep(10'000);
        const std::string image = directory_.path() + "/image.eif";
        sys::replace_file(image, as_byte_view("the image"), 0600).value();
        const auto ran =
            call({"enclave", "run", image, "--cpus", "1", "--memory", "2", "--name", "web", "--json"});
        ASSERT_EQ(ran.exit, 0) << ran.err;
        folder_ = run_ + "/vm/" + ran.json()["id"].get<std::string>();
    }
    void TearDown() override { ::unsetenv("ALCOVE_SOCKET"); }

    std::future<Captured> listen(std::vector<std::string> more) {
        more.insert(more.begin(), {"enclave", "listen", "web", "7000"});
        return std::async(std::launch::async, [this, more] {
            listener_ = ::pthread_self();
            return call(more);
        });
    }
    // As the VM does for the enclave.
    Fd enclave_connects() {
        while (true) {
            auto socket = sys::unix_connect(folder_ + "/port-7000.sock", SOCK_STREAM);
            if (socket) return std::move(*socket);
            ::usleep(1000);
        }
    }
    bool socket_is_there() const { return ::access((folder_ + "/port-7000.sock").c_str(), F_OK) == 0; }
    void wait_for_socket(bool there) const {
        while (socket_is_there() != there)
            ::usleep(1000);
    }
    std::string ask(std::string_view question) {
        const auto socket = enclave_connects();
        sys::write_all(socket, as_byte_view(question)).value();
        ::shutdown(socket.get(), SHUT_WR);
        return read_to_end(socket);
    }

    daemon::TestDirectory directory_;
    std::string run_ = directory_.path() + "/run";
    daemon::FakeHost host_{run_};
    daemon::DaemonConfig config_;
    std::unique_ptr<daemon::Daemon> daemon_;
    std::string folder_;
    std::atomic<pthread_t> listener_;
};

TEST_F(PortCommands, AProgramServesOneConnectionAndItsExitCodeIsOurs) {
    auto listening = listen({"--exec", "tr a-z A-Z; exit 9", "--json"});

    EXPECT_EQ(ask("loud"), "LOUD");

    const auto listened = listening.get();
    EXPECT_EQ(listened.exit, 9);
    EXPECT_EQ(listened.json()["connections"], 1);
    EXPECT_EQ(listened.json()["failed"], 1);
    EXPECT_NE(listened.err.find("listening on port 7000"), std::string::npos);
    EXPECT_FALSE(socket_is_there());
}

TEST_F(PortCommands, ManyConnectionsAreForwardedUntilAnInterruption) {
    const std::string application = directory_.path() + "/app.sock";
    const auto server = sys::unix_listen(application, SOCK_STREAM, 0600).value();
    auto listening = listen({"--keep", "--forward", "unix:" + application, "--json"});

    for (int i = 0; i < 3; ++i) {
        const auto enclave = enclave_connects();
        const auto forwarded = sys::accept(server).value();
        sys::write_all(enclave, as_byte_view("to the application")).value();
        ::shutdown(enclave.get(), SHUT_WR);
        EXPECT_EQ(read_to_end(forwarded), "to the application");
    }
    ::pthread_kill(listener_, SIGTERM);

    const auto listened = listening.get();
    EXPECT_EQ(listened.exit, 0) << listened.err;
    EXPECT_EQ(listened.json()["connections"], 3);
    EXPECT_EQ(listened.json()["port"], 7000);
    EXPECT_FALSE(socket_is_there());
}

TEST_F(PortCommands, APortHasOneListener) {
    auto first = listen({"--exec", "cat"});
    const auto held = enclave_connects();
    wait_for_socket(false);  // one is served, and nobody listens any more

    auto second = listen({"--keep", "--exec", "cat", "--json"});
    wait_for_socket(true);
    const auto third = call({"enclave", "listen", "web", "7000", "--exec", "cat", "--json"});

    EXPECT_EQ(third.exit, 1);
    EXPECT_EQ(third.json()["error"]["code"], "E04");
    ::pthread_kill(listener_, SIGINT);
    EXPECT_EQ(second.get().exit, 0);
    ::shutdown(held.get(), SHUT_RDWR);
    EXPECT_EQ(first.get().exit, 0);
}

TEST_F(PortCommands, AListenerEndsWithTheEnclave) {
    auto kept = listen({"--keep", "--exec", "cat", "--json"});
    wait_for_socket(true);

    EXPECT_EQ(call({"enclave", "stop", "web"}).exit, 0);

    const auto listened = kept.get();
    EXPECT_EQ(listened.exit, 0);
    EXPECT_EQ(listened.json()["connections"], 0);
    EXPECT_NE(listened.err.find("has ended"), std::string::npos);
}

TEST_F(PortCommands, AnEnclaveThatEndsWithoutConnectingIsAnError) {
    auto once = listen({"--exec", "cat", "--json"});
    wait_for_socket(true);

    EXPECT_EQ(call({"enclave", "stop", "web"}).exit, 0);

    const auto listened = once.get();
    EXPECT_EQ(listened.exit, 1);
    EXPECT_EQ(listened.json()["error"]["code"], "E08");
}

TEST_F(PortCommands, WhatMakesNoSenseIsSaid) {
    const auto code = [](const std::vector<std::string>& arguments) {
        return call(arguments).json()["error"]["code"];
    };
    EXPECT_EQ(code({"enclave", "listen", "web", "7000", "--json"}), "E02");
    EXPECT_EQ(code({"enclave", "connect", "web", "7000", "--json"}), "E02");
    EXPECT_EQ(code({"enclave", "listen", "web", "7000", "--exec", "", "--keep", "--json"}), "E02");
    EXPECT_EQ(code({"enclave", "listen", "web", "7000", "--forward", "/no/prefix", "--json"}), "E02");
    EXPECT_EQ(code({"enclave", "listen", "nobody", "7000", "--exec", "cat", "--json"}), "E90");
    EXPECT_NE(call({"enclave", "connect", "nobody", "7000"}).err.find("E90"), std::string::npos);
    EXPECT_EQ(call({"enclave", "stop", "web"}).exit, 0);
    EXPECT_EQ(code({"enclave", "listen", "web", "7000", "--exec", "cat", "--json"}), "E95");
    EXPECT_NE(call({"enclave", "connect", "web", "7000"}).err.find("E95"), std::string::npos);
}

}  // namespace
}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
//
// The program key_client as a user runs it, against a service whose security module is a fake, behind a Unix
// socket that speaks as the VMM's connect socket does. The verifiers are shell scripts.
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "key_service/fake_attester.hpp"
#include "key_service/message_stream.hpp"
#include "key_service/server.hpp"
#include "support/system.hpp"

namespace alcove::key_service {
namespace {

using namespace std::chrono_literals;

constexpr int kExitNotVerified = 3;

// Reads CONNECT as a VMM would, byte by byte, and answers.
void answer_as_vmm(const Fd& connection, const std::string& answer) {
    std::string line;
    for (Bytes byte(1); line.size() < 64 && sys::read_exact(connection, byte) && byte[0] != '\n';)
        line += static_cast<char>(byte[0]);
    EXPECT_EQ(line, "CONNECT 5000");
    EXPECT_TRUE(sys::write_all(connection, as_byte_view(answer)));
}

class KeyClientTest : public ::testing::Test {
  protected:
    KeyClientTest() {
        char name[] = "/tmp/key_client_test.XXXXXX";
        directory_ = mkdtemp(name);
        listener_ = sys::unix_listen(path("vmm.sock"), SOCK_STREAM, 0600).value();
    }
    ~KeyClientTest() override {
        shutdown(listener_.get(), SHUT_RDWR);
        if (vmm_.joinable()) vmm_.join();
        std::system(("rm -rf " + directory_).c_str());
    }

    std::string path(const std::string& name) const { return directory_ + "/" + name; }

    void start_vmm(const std::string& answer = "OK 1073741824\n") {
        vmm_ = std::thread([this, answer] {
            auto connection = sys::accept(listener_);
            if (!connection) return;
            answer_as_vmm(*connection, answer);
            if (answer.starts_with("OK")) server_.take(std::move(*connection));
        });
    }

    // Runs key_client; its exit code. What it prints is in output_.
    int run(std::vector<std::string> arguments, std::optional<Fd> stdio = std::nullopt) {
        arguments.insert(arguments.begin(), KEY_CLIENT);
        std::vector<char*> pointers;
        for (std::string& argument : arguments)
            pointers.push_back(argument.data());
        pointers.push_back(nullptr);
        const Fd printed = sys::open(path("output"), O_RDWR | O_CREAT | O_TRUNC).value();
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        if (stdio) posix_spawn_file_actions_adddup2(&actions, stdio->get(), STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, stdio ? stdio->get() : printed.get(), STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, printed.get(), STDERR_FILENO);
        pid_t pid = 0;
        EXPECT_EQ(posix_spawn(&pid, KEY_CLIENT, &actions, nullptr, pointers.data(), environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        stdio.reset();
        int status = -1;
        EXPECT_EQ(waitpid(pid, &status, 0), pid);
        output_ = as_text(sys::read_file(path("output"), 1 << 20).value());
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

    std::vector<std::string> demo(const std::string& script) {
        return {"--socket",    path("vmm.sock"), "demo",      "--nonce",       "00ff17",  "--secret",
                "open sesame", "--doc-out",      path("doc"), "--then-verify", "/bin/sh", "-c",
                script,        "{doc}",          "{nonce}"};
    }

    // A verifier that looks at the document as far as a fake one can be looked at: nonce, and then the key in
    // it.
    static constexpr char kVerifier[] =
        R"(read -r _ key _ nonce < "$0"; [ "$nonce" = "$1" ] || exit 1; echo "{\"public_key\": \"$key\"}")";

    bool printed(const std::string& text) const { return output_.find(text) != std::string::npos; }

    std::string directory_;
    Fd listener_;
    FakeAttester attester_;
    KeyService service_ = KeyService::create(attester_).value();
    Server server_{service_, ServerLimits{.clients = 4, .patience = 10s}};
    std::thread vmm_;
    std::string output_;
};

TEST_F(KeyClientTest, DemoVerifiesAndThenSendsTheSecret) {
    start_vmm();
    EXPECT_EQ(run(demo(kVerifier)), 0) << output_;
    EXPECT_TRUE(printed("verified; the enclave's public key is " + to_hex(service_.public_key()))) << output_;
    EXPECT_TRUE(printed("the enclave read 11 bytes")) << output_;
    EXPECT_TRUE(printed("sent them back sealed: open sesame")) << output_;
}

TEST_F(KeyClientTest, SecretStaysWhenTheVerifierRefuses) {
    start_vmm();
    EXPECT_EQ(run(demo("exit 1")), kExitNotVerified);
    EXPECT_FALSE(printed("sent a secret")) << output_;
}

TEST_F(KeyClientTest, SecretStaysWhenTheNonceIsStale) {
    start_vmm();
    auto arguments = demo(kVerifier);
    arguments.back() = "00ff18";
    EXPECT_EQ(run(arguments), kExitNotVerified);
    EXPECT_FALSE(printed("sent a secret")) << output_;
}

TEST_F(KeyClientTest, SecretGoesToTheVerifiedKeyAndNotToTheOneInTheDocument) {
    start_vmm();
    const std::string other = to_hex(KeyPair::generate().value().public_key());
    EXPECT_EQ(run(demo("echo '{\"public_key\": \"" + other + "\"}'")), EXIT_FAILURE);
    EXPECT_TRUE(printed("not sealed for the key of this service")) << output_;
}

TEST_F(KeyClientTest, ChallengeWritesTheDocument) {
    start_vmm();
    EXPECT_EQ(run({"--socket", path("vmm.sock"), "challenge", "--nonce", "aa", "--out", path("doc")}), 0);
    EXPECT_EQ(as_text(sys::read_file(path("doc"), 4096).value()),
              FakeAttester::text_for(service_.public_key(), Bytes{0xaa}));
}

TEST_F(KeyClientTest, SealSendsToTheGivenKey) {
    start_vmm();
    ASSERT_TRUE(sys::replace_file(path("key"), service_.public_key(), 0600));
    EXPECT_EQ(run({"--socket", path("vmm.sock"), "seal", "--public-key", path("key"), "--secret", "abc"}), 0);
    EXPECT_TRUE(printed("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")) << output_;
}

TEST_F(KeyClientTest, StandardInputAndOutputCanBeTheConnection) {
    sys::Pair pair = sys::socket_pair(SOCK_STREAM).value();
    server_.take(std::move(pair.second));
    EXPECT_EQ(run({"--stdio", "challenge", "--out", path("doc")}, std::move(pair.first)), 0) << output_;
    EXPECT_TRUE(printed("document of")) << output_;
}

TEST_F(KeyClientTest, VmmThatHasNobodyOnThePortIsAnError) {
    start_vmm("ERR 111\n");
    EXPECT_EQ(run({"--socket", path("vmm.sock"), "challenge", "--out", path("doc")}), EXIT_FAILURE);
    EXPECT_TRUE(printed("the VMM answers CONNECT with 'ERR 111'")) << output_;
}

TEST_F(KeyClientTest, MissingSocketIsAnError) {
    EXPECT_EQ(run({"--socket", path("none"), "challenge", "--out", path("doc")}), EXIT_FAILURE);
    EXPECT_TRUE(printed("No such file")) << output_;
}

TEST_F(KeyClientTest, WrongUsageIsToldWithTheUsage) {
    EXPECT_EQ(run({}), 2);
    EXPECT_EQ(run({"--socket", "x", "--stdio", "challenge", "--out", "y"}), 2);
    EXPECT_EQ(run({"--stdio", "challenge"}), 2);
    EXPECT_EQ(run({"--socket", "x", "--port", "70x", "challenge", "--out", "y"}), 2);
    EXPECT_EQ(run({"--stdio", "demo", "--doc-out", "y", "--then-verify"}), 2);
    EXPECT_TRUE(printed("usage: key_client"));
}

}  // namespace
}  // namespace alcove::key_service

// SPDX-License-Identifier: Apache-2.0
//
// The enclave commands against the real daemon, behind which a broker and shims play along.
#include <atomic>
#include <csignal>
#include <future>
#include <thread>

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "cli/daemon_commands_test.hpp"

namespace alcove::cli {
namespace {

class EnclaveCommands : public DaemonCommandsTest {
  protected:
    void SetUp() override {
        DaemonCommandsTest::SetUp();
        image_ = path("image.eif");
        sys::replace_file(image_, as_byte_view("the image"), 0600).value();
    }
    Captured run(std::vector<std::string> more = {}) {
        std::vector<std::string> arguments = {"enclave", "run",      image_, "--cpus",
                                              "1",       "--memory", "2",    "--json"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return alcove(arguments);
    }

    std::string image_;
};

TEST_F(EnclaveCommands, RunWaitsForTheHeartbeat) {
    const auto ran = run({"--name", "web"});

    ASSERT_EQ(ran.exit, 0) << ran.err;
    EXPECT_EQ(ran.json()["ready"], true);
    EXPECT_EQ(ran.json()["host"], "local");
    EXPECT_EQ(ran.json()["cid"], 16);
    EXPECT_EQ(host_.image_content(ran.json()["id"]), "the image");
    EXPECT_EQ(alcove({"enclave", "list", "--json"}).json()["enclaves"][0]["name"], "web");
    EXPECT_NE(alcove({"enclave", "list"}).out.find("running (ready)"), std::string::npos);
    EXPECT_EQ(alcove({"enclave", "inspect", "web", "counters.kvm_runs.total"}).out, "77\n");
    EXPECT_EQ(alcove({"enclave", "inspect", "web", "counters.nothing"}).exit, 1);
}

TEST_F(EnclaveCommands, StopWaitsForTheEnd) {
    ASSERT_EQ(run({"--name", "web"}).exit, 0);

    const auto stopped = alcove({"enclave", "stop", "web", "--json"});

    ASSERT_EQ(stopped.exit, 0) << stopped.err;
    EXPECT_EQ(stopped.json()["enclaves"][0]["state"], "stopped");
    EXPECT_TRUE(host_.present().empty());
    EXPECT_EQ(alcove({"enclave", "remove", "web"}).exit, 0);
    EXPECT_EQ(alcove({"enclave", "list"}).out, "no enclaves\n");
}

TEST_F(EnclaveCommands, StopAllStopsWhatRuns) {
    ASSERT_EQ(run().exit, 0);

    EXPECT_EQ(alcove({"enclave", "stop"}).exit, 2);
    EXPECT_EQ(alcove({"enclave", "stop", "--all"}).exit, 0);

    EXPECT_TRUE(host_.present().empty());
    EXPECT_EQ(alcove({"enclave", "stop", "--all", "--json"}).json()["enclaves"].size(), 0U);
}

TEST_F(EnclaveCommands, ABadImageIsToldWithItsCode) {
    host_.set_script(daemon::FakeHost::Script::Fail);

    const auto ran = run();

    EXPECT_EQ(ran.exit, 4);
    EXPECT_EQ(ran.json()["error"]["code"], "E32");
    EXPECT_NE(ran.err.find("remedy:"), std::string::npos);
}

TEST_F(EnclaveCommands, NoHeartbeatInTimeHasItsOwnExitCode) {
    host_.set_script(daemon::FakeHost::Script::Measured);

    const auto ran = run({"--timeout", "1"});

    EXPECT_EQ(ran.exit, 5);
    EXPECT_EQ(ran.json()["state"], "running");
    EXPECT_NE(ran.err.find("runs on"), std::string::npos);
}

TEST_F(EnclaveCommands, WithoutWaitingTheAnswerComesAtOnce) {
    host_.hold_launches(true);

    const auto ran = run({"--no-wait"});

    EXPECT_EQ(ran.exit, 0);
    EXPECT_EQ(ran.json()["state"], "reserving");
    host_.hold_launches(false);
}

// The local host, but what it is handed has to be taken away again, as from the embedded host.
class LendingHost final : public HostAccess {
  public:
    LendingHost(const std::string& socket, std::atomic<int>& lent)
        : local_(open_local_host(socket)), lent_(lent) {}
    std::string_view kind() const override { return "embedded"; }
    const ApiClient& api() const override { return local_->api(); }
    Result<HandedImage> hand_over(const Fd& image) override {
        auto handed = TRY(local_->hand_over(image));
        ++lent_;
        return HandedImage(handed.reference(), [this] { --lent_; });
    }
    Result<Json> hand_over_disk(const Fd& disk, DiskUse use) override {
        return local_->hand_over_disk(disk, use);
    }
    void detach_disks(const std::vector<std::string>& serials) override { local_->detach_disks(serials); }
    Result<std::string> hand_over_tap(const std::string& name) override {
        return local_->hand_over_tap(name);
    }
    Result<HandedStream> hand_over_stream() override { return local_->hand_over_stream(); }
    Result<Fd> open_socket(const std::string& path) override { return local_->open_socket(path); }
    Result<std::unique_ptr<HostListener>> listen(const std::string& path) override {
        return local_->listen(path);
    }

  private:
    std::unique_ptr<HostAccess> local_;
    std::atomic<int>& lent_;
};

TEST_F(EnclaveCommands, AnInterruptedRunTakesBackWhatItBegan) {
    host_.set_script(daemon::FakeHost::Script::Hold);
    std::atomic<int> lent = 0;
    int lent_meanwhile = 0;
    ProgramParts parts;
    parts.open_host = [&](const HostSelection&, const Output&) -> Result<std::unique_ptr<HostAccess>> {
        return std::make_unique<LendingHost>(run_ + "/alcoved.sock", lent);
    };
    std::thread user([&, caller = ::pthread_self()] {
        while (host_.launches().empty())
            ::usleep(1000);
        lent_meanwhile = lent;
        ::pthread_kill(caller, SIGINT);
    });

    const auto ran = call({"enclave", "run", image_, "--cpus", "1", "--memory", "2", "--json"}, parts);

    user.join();
    EXPECT_EQ(ran.exit, 1);
    EXPECT_EQ(ran.json()["error"]["code"], "E16");
    EXPECT_EQ(lent_meanwhile, 1);
    EXPECT_EQ(lent, 0);
    EXPECT_EQ(alcove({"enclave", "list", "--json"}).json()["enclaves"][0]["state"], "stopped");
    EXPECT_TRUE(host_.present().empty());
}

TEST_F(EnclaveCommands, WithoutWaitingAnImageIsLentUntilTheEnclaveRuns) {
    host_.set_script(daemon::FakeHost::Script::Measured);
    std::atomic<int> lent = 0;
    ProgramParts parts;
    parts.open_host = [&](const HostSelection&, const Output&) -> Result<std::unique_ptr<HostAccess>> {
        return std::make_unique<LendingHost>(run_ + "/alcoved.sock", lent);
    };

    const auto ran =
        call({"enclave", "run", image_, "--cpus", "1", "--memory", "2", "--no-wait", "--json"}, parts);

    EXPECT_EQ(ran.exit, 0);
    EXPECT_EQ(ran.json()["state"], "running");
    EXPECT_EQ(ran.json()["ready"], false);
    EXPECT_EQ(lent, 0);
}

TEST_F(EnclaveCommands, ARefusedRunTakesItsImageBack) {
    std::atomic<int> lent = 0;
    ProgramParts parts;
    parts.open_host = [&](const HostSelection&, const Output&) -> Result<std::unique_ptr<HostAccess>> {
        return std::make_unique<LendingHost>(run_ + "/alcoved.sock", lent);
    };

    EXPECT_EQ(call({"enclave", "run", image_, "--memory", "400G"}, parts).exit, 1);

    EXPECT_EQ(lent, 0);
}

TEST_F(EnclaveCommands, TheDaemonsErrorsAreShownAsTheyAre) {
    ASSERT_EQ(run({"--name", "web"}).exit, 0);

    EXPECT_EQ(run({"--name", "web"}).json()["error"]["code"], "E94");
    EXPECT_EQ(alcove({"enclave", "run", image_, "--memory", "400G", "--json"}).json()["error"]["name"],
              "no-free-memory");
    EXPECT_EQ(alcove({"enclave", "inspect", "nobody", "--json"}).json()["error"]["code"], "E90");
    EXPECT_NE(alcove({"enclave", "console", "web"}).err.find("E91"), std::string::npos);
    EXPECT_EQ(alcove({"enclave", "console", "web", "--json"}).json()["error"]["code"], "E02");
    EXPECT_EQ(alcove({"enclave", "logs", "web"}).exit, 1);
}

TEST_F(EnclaveCommands, AConsoleIsFollowedToItsEnd) {
    const std::string id = run({"--debug"}).json()["id"];
    host_.write_console(id, "booting\n");
    auto console = std::async(std::launch::async, [&] { return alcove({"enclave", "console", id}); });
    ::usleep(300'000);
    host_.write_console(id, "bye\n");
    ::usleep(300'000);
    host_.end(id, api::StopReason::PowerOff);

    const auto shown = console.get();

    EXPECT_EQ(shown.exit, 0);
    EXPECT_EQ(shown.out, "booting\nbye\n");
    EXPECT_EQ(alcove({"enclave", "logs", id}).out, "booting\nbye\n");
}

TEST_F(EnclaveCommands, TheHostShowsWhoHoldsWhat) {
    const std::string id = run().json()["id"];

    const auto status = alcove({"host", "status"});

    EXPECT_NE(status.out.find(id), std::string::npos);
    EXPECT_NE(status.out.find("free"), std::string::npos);
}

TEST(HostAccess, ADaemonThatIsNotThereIsSaid) {
    ::setenv("ALCOVE_SOCKET", "/nonexistent/alcoved.sock", 1);

    const auto list = call({"enclave", "list", "--json"});
    const auto local = call({"--host", "local", "enclave", "list", "--json"});

    ::unsetenv("ALCOVE_SOCKET");
    EXPECT_EQ(list.exit, 1);
    EXPECT_EQ(list.json()["error"]["code"], "E27");
    EXPECT_EQ(local.json()["error"]["code"], "E27");
}

TEST(HostAccess, WithoutADaemonTheEmbeddedHostIsChosen) {
    const HostSelection selection{.choice = HostChoice::Auto,
                                  .local_socket = "/nonexistent/alcoved.sock",
                                  .socket_named = false,
                                  .kvm_usable = {}};

    EXPECT_EQ(decide(selection)->where, Where::Embedded);
}

TEST(HostAccess, AKvmThatIsNotUsableIsGoneAround) {
    const daemon::TestDirectory directory;
    const auto listener = sys::unix_listen(directory.path() + "/alcoved.sock", SOCK_STREAM, 0600).value();
    HostSelection selection{.choice = HostChoice::Auto,
                            .local_socket = directory.path() + "/alcoved.sock",
                            .socket_named = false,
                            .kvm_usable = [] { return false; }};

    EXPECT_EQ(decide(selection)->where, Where::Embedded);
    selection.kvm_usable = [] { return true; };
    EXPECT_EQ(decide(selection)->where, Where::Local);
    selection.kvm_usable = {};
    EXPECT_EQ(decide(selection)->where, Where::Local);
    selection.choice = HostChoice::Embedded;
    EXPECT_EQ(decide(selection)->where, Where::Embedded);
}

TEST(ApiClient, AnErrorComesBackAsItWas) {
    const auto error =
        api_error(403, R"({"error":{"code":"E91","name":"x","message":"no console","remedy":"y"}})");

    EXPECT_EQ(error.code(), ErrorCode::EnclaveNotDebug);
    EXPECT_EQ(error.message(), "no console");
    EXPECT_EQ(api_error(500, "<html>").code(), ErrorCode::Internal);
    EXPECT_EQ(api_error(500, R"({"error":{"code":"E9999","message":"m"}})").code(), ErrorCode::Internal);
    EXPECT_EQ(path_part("a/b ?\xff"), "a%2Fb%20%3F%FF");
}

}  // namespace
}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
//
// The commands in a primary VM, with a real process for each enclave and a played driver in it.
#include "nitro_cli/primary_host.hpp"

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "nitro_cli/enclave_process.hpp"
#include "nitro_cli/failure_code.hpp"
#include "nitro_cli/machine_fake.hpp"
#include "nitro_cli/program.hpp"
#include "nitro_cli/wire.hpp"

namespace alcove::nitro_cli {
namespace {

using ne_driver::FakeDriver;
using ne_driver::FakePages;
using testing::HasSubstr;

enum class Enclave {
    ComesUp,
    DiesAtOnce,
    DiesOnWish,  // when the file `die` is there
    IsSilent,
};

class PrimaryCommands : public testing::Test {
  protected:
    // As in main(): a caller that goes away ends a write with an error.
    void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }
    void TearDown() override { nitro_cli({"terminate-enclave", "--all"}); }

    cli::Captured nitro_cli(const std::vector<std::string>& arguments) {
        return cli::capture([&](const cli::Streams& streams) {
            return run_program(arguments, streams, [&]() -> Result<std::unique_ptr<EnclaveHost>> {
                return std::unique_ptr<EnclaveHost>(std::make_unique<PrimaryHost>(
                    machine_.places(), streams,
                    [this](const RunRequest& request) { return launch(request); }));
            });
        });
    }
    cli::Captured run(std::vector<std::string> more = {}) {
        std::vector<std::string> arguments = {"run-enclave", "--eif-path", machine_.image(), "--memory", "64",
                                              "--cpu-count", "1"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return nitro_cli(arguments);
    }
    Result<Fd> launch(const RunRequest& request) {
        ++slots_;
        return run_detached(machine_.places().log_file(), [&](Fd caller) -> int {
            FakeDriver driver({2, 3}, slots_);
            FakePages pages({{2_MiB, 32}});
            auto port = machine_.port();
            port.set_peer(15 + slots_);
            std::vector<std::thread> lives;
            driver.when_started([&](FakeDriver::State& state) {
                lives.emplace_back([this, &port, &state] { live(port, state); });
            });
            const int exit = accompany_enclave(
                request, {.driver = driver, .pages = pages, .heartbeat = port, .places = machine_.places()},
                std::move(caller));
            for (auto& life : lives)
                life.detach();
            ::_exit(exit);
        });
    }
    void live(FakePort& port, FakeDriver::State& state) const {
        // The process has no thread of its own that would take a signal.
        sigset_t signals;
        ::sigfillset(&signals);
        ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
        if (enclave_ == Enclave::IsSilent) return;
        if (enclave_ != Enclave::DiesAtOnce) port.beat();
        while (enclave_ == Enclave::DiesOnWish && ::access(machine_.folder().path("die").c_str(), F_OK) != 0)
            ::usleep(10'000);
        if (enclave_ != Enclave::ComesUp) state.end.reset();
    }
    static std::string id_of(const cli::Captured& ran) { return ran.json()["EnclaveID"].get<std::string>(); }
    bool log_says(const std::string& text) const {
        for (int i = 0; i < 1000 && machine_.log().find(text) == std::string::npos; ++i)
            ::usleep(10'000);
        return machine_.log().find(text) != std::string::npos;
    }

    FakeMachine machine_;
    Enclave enclave_ = Enclave::ComesUp;
    uint64_t slots_ = 0;
};

TEST_F(PrimaryCommands, AnEnclaveIsRunDescribedAndTerminated) {
    const auto ran = run();
    ASSERT_EQ(ran.exit, 0) << ran.err << machine_.log();
    EXPECT_EQ(ran.json()["EnclaveName"], "tiny");
    EXPECT_EQ(ran.json()["EnclaveCID"], 16);
    EXPECT_THAT(ran.err, HasSubstr("Started enclave with enclave-cid: 16, memory: 64 MiB, cpu-ids: [2]"));

    const auto described = nitro_cli({"describe-enclaves"});
    ASSERT_EQ(described.exit, 0) << described.err;
    ASSERT_EQ(described.json().size(), 1U);
    const auto enclave = described.json()[0];
    EXPECT_EQ(enclave["EnclaveID"], ran.json()["EnclaveID"]);
    EXPECT_EQ(enclave["ProcessID"], ran.json()["ProcessID"]);
    EXPECT_EQ(enclave["State"], "RUNNING");
    EXPECT_EQ(enclave["Flags"], "NONE");
    const auto image = nitro_cli({"describe-eif", "--eif-path", machine_.image()});
    EXPECT_EQ(enclave["Measurements"], image.json()["Measurements"]);
    EXPECT_FALSE(enclave.contains("Metadata"));
    EXPECT_TRUE(nitro_cli({"describe-enclaves", "--metadata"}).json()[0].contains("Metadata"));

    const auto ended = nitro_cli({"terminate-enclave", "--enclave-id", enclave["EnclaveID"]});
    ASSERT_EQ(ended.exit, 0) << ended.err;
    EXPECT_EQ(ended.json()["Terminated"], true);
    EXPECT_EQ(nitro_cli({"describe-enclaves"}).out, "[]\n");
    EXPECT_EQ(nitro_cli({"terminate-enclave", "--enclave-id", enclave["EnclaveID"]}).exit, 11);
}

TEST_F(PrimaryCommands, NamesAreFoundAndNeverTheSame) {
    const auto first = run({"--enclave-name", "web"});
    const auto second = run({"--enclave-name", "web"});

    EXPECT_EQ(first.json()["EnclaveName"], "web");
    EXPECT_EQ(second.json()["EnclaveName"], "web_1");
    EXPECT_EQ(nitro_cli({"terminate-enclave", "--enclave-name", "web_1"}).json()["EnclaveID"],
              second.json()["EnclaveID"]);
    EXPECT_EQ(nitro_cli({"terminate-enclave", "--enclave-name", "web_1"}).exit, 58);
}

// Each would listen at the one port there is.
TEST_F(PrimaryCommands, TwoStartsAtOnceTakeTurns) {
    const auto request = [&] {
        RunRequest made;
        made.eif_path = machine_.image();
        made.memory_mib = 64;
        made.cpu_count = 1;
        return made;
    }();
    const auto first = launch(request).value();
    const auto second = launch(request).value();

    const auto ignore = [](std::string_view) {};
    const auto first_answer = wire::read_answer(first, ignore).value();
    const auto second_answer = wire::read_answer(second, ignore).value();

    ASSERT_EQ(first_answer.status, 0) << machine_.log();
    ASSERT_EQ(second_answer.status, 0) << machine_.log();
    EXPECT_NE(::access(machine_.folder().path("busy").c_str(), F_OK), 0) << "the port was asked for twice";
    std::set<std::string> names;
    for (const auto& enclave : nitro_cli({"describe-enclaves"}).json())
        names.insert(enclave["EnclaveName"]);
    EXPECT_EQ(names, (std::set<std::string>{"tiny", "tiny_1"}));
    EXPECT_EQ(nitro_cli({"terminate-enclave", "--all"}).json().size(), 2U);
}

TEST_F(PrimaryCommands, AnEarlyEndIsReportedAtOnceWithItsCode) {
    enclave_ = Enclave::DiesAtOnce;

    const auto ran = run();

    EXPECT_EQ(ran.exit, 39);
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr("[ E36 ]"));
    EXPECT_THAT(ran.err, HasSubstr("ended before its heartbeat"));
    EXPECT_THAT(ran.err, HasSubstr("[ E39 ]"));
    EXPECT_EQ(nitro_cli({"describe-enclaves"}).out, "[]\n");
}

TEST_F(PrimaryCommands, WhatTheProcessFindsWrongKeepsItsCode) {
    EXPECT_THAT(run({"--enclave-cid", "x"}).err, HasSubstr("[ E03 ]"));
    EXPECT_EQ(run({"--enclave-cid", "x"}).exit, 3);
    auto too_many =
        nitro_cli({"run-enclave", "--eif-path", machine_.image(), "--memory", "64", "--cpu-count", "9"});
    EXPECT_EQ(too_many.exit, 39);
    EXPECT_THAT(too_many.err, HasSubstr("[ E22 ]"));
    EXPECT_THAT(run({"--memory", "128"}).err, HasSubstr("--memory"));
    auto no_pages =
        nitro_cli({"run-enclave", "--eif-path", machine_.image(), "--memory", "1G", "--cpu-count", "1"});
    EXPECT_THAT(no_pages.err, HasSubstr("[ E27 ]"));
}

TEST_F(PrimaryCommands, AnEnclaveThatEndsTakesItsProcessAndSocketAlong) {
    enclave_ = Enclave::DiesOnWish;
    const auto ran = run();
    ASSERT_EQ(ran.exit, 0) << ran.err;

    machine_.folder().write("die", "");

    EXPECT_TRUE(log_says("the enclave has ended by itself"));
    for (int i = 0; i < 1000 && nitro_cli({"describe-enclaves"}).out != "[]\n"; ++i)
        ::usleep(10'000);
    EXPECT_EQ(nitro_cli({"describe-enclaves"}).out, "[]\n");
    EXPECT_NE(::access(machine_.places().socket_of(id_of(ran)).value().c_str(), F_OK), 0);
}

TEST_F(PrimaryCommands, ASignalToTheProcessEndsTheEnclave) {
    const auto ran = run();
    ASSERT_EQ(ran.exit, 0) << ran.err;

    ASSERT_EQ(::kill(ran.json()["ProcessID"].get<pid_t>(), SIGTERM), 0);

    EXPECT_TRUE(log_says("a signal ends the enclave"));
}

TEST_F(PrimaryCommands, AKilledProcessLeavesASocketThatIsCleanedUp) {
    const auto ran = run();
    ASSERT_EQ(ran.exit, 0) << ran.err;
    const auto socket = machine_.places().socket_of(id_of(ran)).value();
    ASSERT_EQ(::kill(ran.json()["ProcessID"].get<pid_t>(), SIGKILL), 0);
    for (int i = 0; i < 1000 && sys::unix_connect(socket, SOCK_STREAM); ++i)
        ::usleep(10'000);

    EXPECT_EQ(nitro_cli({"describe-enclaves"}).out, "[]\n");

    EXPECT_NE(::access(socket.c_str(), F_OK), 0);
}

TEST_F(PrimaryCommands, AStartThatNobodyWaitsForIsTakenBack) {
    enclave_ = Enclave::IsSilent;
    RunRequest request;
    request.eif_path = machine_.image();
    request.memory_mib = 64;
    request.cpu_count = 1;

    launch(request).value().reset();

    EXPECT_TRUE(log_says("has gone"));
}

TEST_F(PrimaryCommands, AConsoleNeedsDebugMode) {
    const auto ran = run();
    ASSERT_EQ(ran.exit, 0) << ran.err;

    const auto console = nitro_cli({"console", "--enclave-name", "tiny"});

    EXPECT_EQ(console.exit, 44);
    EXPECT_THAT(console.err, HasSubstr("[ E44 ]"));
    EXPECT_EQ(nitro_cli({"console", "--enclave-name", "none"}).exit, 58);
    EXPECT_EQ(nitro_cli({"console", "--enclave-id", "../x"}).exit, 11);
}

TEST_F(PrimaryCommands, WhoeverTalksNonsenseIsIgnored) {
    const auto ran = run();
    ASSERT_EQ(ran.exit, 0) << ran.err;
    const auto path = machine_.places().socket_of(id_of(ran)).value();
    std::vector<Fd> talkers;
    for (int i = 0; i < 100; ++i) {
        auto socket = sys::unix_connect(path, SOCK_STREAM).value();
        static_cast<void>(::send(socket.get(), "nonsense that is no request", 27, MSG_NOSIGNAL));
        talkers.push_back(std::move(socket));
    }

    EXPECT_EQ(nitro_cli({"describe-enclaves"}).json().size(), 1U);
}

}  // namespace
}  // namespace alcove::nitro_cli

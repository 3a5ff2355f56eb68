// SPDX-License-Identifier: Apache-2.0
//
// The commands on a host, against the real daemon, behind which a broker and shims play along.
#include "nitro_cli/daemon_host.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/daemon_commands_test.hpp"
#include "host/topology.hpp"
#include "nitro_cli/program.hpp"

namespace alcove::nitro_cli {
namespace {

using testing::HasSubstr;

class DaemonHostCommands : public cli::DaemonCommandsTest {
  protected:
    void SetUp() override {
        DaemonCommandsTest::SetUp();
        if (IsSkipped()) return;
        image_ = path("web.eif");
        sys::replace_file(image_, as_byte_view("the image"), 0600).value();
    }
    cli::Captured nitro_cli(const std::vector<std::string>& arguments) {
        return cli::capture([&](const cli::Streams& streams) {
            return run_program(arguments, streams, [&]() -> Result<std::unique_ptr<EnclaveHost>> {
                return std::unique_ptr<EnclaveHost>(
                    std::make_unique<DaemonHost>(cli::open_local_host(run_ + "/alcoved.sock"), streams));
            });
        });
    }
    cli::Captured run(std::vector<std::string> more = {}) {
        std::vector<std::string> arguments = {"run-enclave", "--eif-path",  image_, "--memory",
                                              "2",           "--cpu-count", "1"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return nitro_cli(arguments);
    }

    std::string image_;
};

TEST_F(DaemonHostCommands, AnEnclaveIsRunDescribedAndTerminated) {
    const auto ran = run();
    ASSERT_EQ(ran.exit, 0) << ran.err;
    EXPECT_EQ(ran.json()["EnclaveName"], "web");
    EXPECT_EQ(ran.json()["EnclaveCID"], 16);
    EXPECT_EQ(ran.json()["NumberOfCPUs"], 1);
    EXPECT_FALSE(ran.json()["CPUIDs"].empty());
    EXPECT_EQ(host_.image_content(ran.json()["EnclaveID"]), "the image");

    const auto described = nitro_cli({"describe-enclaves"});
    ASSERT_EQ(described.exit, 0) << described.err;
    EXPECT_EQ(described.json()[0]["State"], "RUNNING");
    EXPECT_EQ(described.json()[0]["Flags"], "NONE");
    EXPECT_TRUE(described.json()[0].contains("Measurements"));

    const auto ended = nitro_cli({"terminate-enclave", "--enclave-name", "web"});
    ASSERT_EQ(ended.exit, 0) << ended.err;
    EXPECT_EQ(ended.json()["EnclaveID"], ran.json()["EnclaveID"]);
    EXPECT_TRUE(host_.present().empty());
    EXPECT_EQ(nitro_cli({"describe-enclaves"}).out, "[]\n");
    EXPECT_EQ(nitro_cli({"terminate-enclave", "--enclave-name", "web"}).exit, 58);
    EXPECT_EQ(nitro_cli({"terminate-enclave", "--enclave-id", ended.json()["EnclaveID"]}).exit, 11);
}

TEST_F(DaemonHostCommands, NamesAreMadeUsableAndCountedUp) {
    image_ = path("my image+1.eif");
    sys::replace_file(image_, as_byte_view("the image"), 0600).value();

    EXPECT_EQ(run().json()["EnclaveName"], "my_image_1");
    EXPECT_EQ(nitro_cli({"terminate-enclave", "--all"}).json().size(), 1U);
}

TEST_F(DaemonHostCommands, ErrorsHaveThisToolsCodes) {
    EXPECT_EQ(run({"--memory", "1"}).exit, 2);
    EXPECT_EQ(nitro_cli({"run-enclave", "--eif-path", image_, "--memory", "0", "--cpu-count", "1"}).exit, 26);
    EXPECT_EQ(nitro_cli({"run-enclave", "--eif-path", "/nowhere", "--memory", "2", "--cpu-count", "1"}).exit,
              19);
    host_.set_script(daemon::FakeHost::Script::Fail);
    const auto failed = run();
    EXPECT_EQ(failed.exit, 35);
    EXPECT_THAT(failed.err, HasSubstr("[ E35 ]"));
}

TEST_F(DaemonHostCommands, WhatAnImageSaysOfItselfIsShownIfAskedFor) {
    host_.set_metadata(R"({"ImageName": "web", "ImageVersion": "1.2",
        "BuildMetadata": {"BuildTime": "2026-01-31T12:00:00Z"}, "CustomMetadata": {"team": "x"}})");
    ASSERT_EQ(run().exit, 0);

    EXPECT_FALSE(nitro_cli({"describe-enclaves"}).json()[0].contains("ImageName"));
    const auto described = nitro_cli({"describe-enclaves", "--metadata"}).json()[0];
    EXPECT_EQ(described["ImageName"], "web");
    EXPECT_EQ(described["ImageVersion"], "1.2");
    EXPECT_EQ(described["Metadata"]["BuildTime"], "2026-01-31T12:00:00Z");
    EXPECT_EQ(described["Metadata"]["team"], "x");
}

TEST_F(DaemonHostCommands, AnImageThatSaysNonsenseOfItselfSaysNothing) {
    for (const char* nonsense : {"", "[]", "{\"ImageName\": 5}", "\xff"}) {
        host_.set_metadata(nonsense);
        ASSERT_EQ(run().exit, 0) << nonsense;

        const auto described = nitro_cli({"describe-enclaves", "--metadata"}).json()[0];
        EXPECT_FALSE(described.contains("ImageName")) << nonsense;
        nitro_cli({"terminate-enclave", "--all"});
    }
}

// The daemon lends all cores of this machine but the first.
TEST_F(DaemonHostCommands, CpusOfTheHostCanBeChosen) {
    const auto cores = host::read_topology()->cores;
    std::vector<std::string> wanted;
    for (const auto cpu : cores[1].cpus)
        wanted.push_back(std::to_string(cpu.value));
    const auto on = [&](const std::vector<std::string>& cpus) {
        std::vector<std::string> arguments = {"run-enclave", "--eif-path", image_,
                                              "--memory",    "2",          "--cpu-ids"};
        arguments.insert(arguments.end(), cpus.begin(), cpus.end());
        return nitro_cli(arguments);
    };
    auto twice = wanted;
    twice.push_back(wanted.front());
    EXPECT_EQ(on(twice).exit, 20);
    EXPECT_EQ(on({"0"}).exit, 21) << "the host's own";
    EXPECT_EQ(on({"7777"}).exit, 21);

    const auto ran = on(wanted);

    ASSERT_EQ(ran.exit, 0) << ran.err;
    EXPECT_EQ(ran.json()["NumberOfCPUs"], wanted.size());
    EXPECT_EQ(ran.json()["CPUIDs"][0], cores[1].cpus.front().value);
    EXPECT_EQ(on(wanted).exit, 21) << "taken";
}

TEST_F(DaemonHostCommands, AConsoleIsReadForAWhile) {
    EXPECT_EQ(run({"--enclave-name", "silent"}).exit, 0);
    EXPECT_EQ(nitro_cli({"console", "--enclave-name", "silent"}).exit, 44);
    nitro_cli({"terminate-enclave", "--all"});
    const auto ran = run({"--debug-mode"});
    ASSERT_EQ(ran.exit, 0) << ran.err;
    host_.write_console(ran.json()["EnclaveID"], "hello from inside\n");

    const auto console = nitro_cli({"console", "--enclave-name", "web", "--disconnect-timeout", "1"});

    EXPECT_EQ(console.exit, 0) << console.err;
    EXPECT_THAT(console.out, HasSubstr("Connecting to the console for enclave " +
                                       std::to_string(ran.json()["EnclaveCID"].get<int>())));
    EXPECT_THAT(console.out, HasSubstr("hello from inside"));
}

}  // namespace
}  // namespace alcove::nitro_cli

// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/arguments.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::nitro_cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <typename T>
T parsed(const std::vector<std::string>& arguments) {
    const auto result = parse_arguments(arguments);
    EXPECT_TRUE(result.command) << result.text;
    return std::get<T>(*result.command);
}

int refused(const std::vector<std::string>& arguments) {
    const auto result = parse_arguments(arguments);
    EXPECT_FALSE(result.command);
    return result.exit;
}

TEST(Arguments, ARunNeedsAnImageMemoryAndCpus) {
    const std::vector<std::string> whole = {"run-enclave", "--eif-path",  "a.eif", "--memory",
                                            "512M",        "--cpu-count", "2"};
    const auto run = parsed<RunEnclave>(whole);
    EXPECT_EQ(run.eif_path, "a.eif");
    EXPECT_EQ(run.memory, "512M");
    EXPECT_EQ(run.cpu_count, "2");
    for (size_t left_out : {1U, 3U, 5U}) {
        auto arguments = whole;
        arguments.erase(arguments.begin() + static_cast<long>(left_out),
                        arguments.begin() + static_cast<long>(left_out) + 2);
        EXPECT_EQ(refused(arguments), kUsageExit);
    }
}

TEST(Arguments, CpusAreCountedOrNamed) {
    const auto run = parsed<RunEnclave>(
        {"run-enclave", "--cpu-ids", "2", "3", "--memory", "64", "--eif-path", "a", "--debug-mode"});
    EXPECT_THAT(run.cpu_ids, ElementsAre("2", "3"));
    EXPECT_TRUE(run.debug_mode);
    EXPECT_EQ(
        refused({"run-enclave", "--cpu-ids", "2", "--cpu-count", "1", "--memory", "64", "--eif-path", "a"}),
        kUsageExit);
}

TEST(Arguments, AConfigurationStandsAlone) {
    const auto run = parsed<RunEnclave>({"run-enclave", "--config", "c.json", "--attach-console"});
    EXPECT_EQ(run.config, "c.json");
    EXPECT_TRUE(run.attach_console);
    EXPECT_EQ(refused({"run-enclave", "--config", "c.json", "--memory", "64"}), kUsageExit);
    EXPECT_EQ(refused({"run-enclave", "--config"}), kUsageExit);
}

TEST(Arguments, AnEnclaveIsNamedInOneWay) {
    EXPECT_EQ(parsed<TerminateEnclave>({"terminate-enclave", "--enclave-id", "i-1-enc2"}).enclave.id,
              "i-1-enc2");
    EXPECT_EQ(parsed<TerminateEnclave>({"terminate-enclave", "--enclave-name", "web"}).enclave.name, "web");
    EXPECT_TRUE(parsed<TerminateEnclave>({"terminate-enclave", "--all"}).all);
    EXPECT_EQ(refused({"terminate-enclave"}), kUsageExit);
    EXPECT_EQ(refused({"terminate-enclave", "--all", "--enclave-name", "web"}), kUsageExit);
    EXPECT_EQ(parsed<Console>({"console", "--enclave-name", "web", "--disconnect-timeout", "10"})
                  .disconnect_timeout,
              "10");
    EXPECT_EQ(refused({"console"}), kUsageExit);
    EXPECT_EQ(refused({"console", "--enclave-id", "a", "--enclave-name", "b"}), kUsageExit);
}

TEST(Arguments, TheOtherCommandsTakeTheirs) {
    EXPECT_TRUE(parsed<DescribeEnclaves>({"describe-enclaves", "--metadata"}).metadata);
    EXPECT_EQ(parsed<DescribeEif>({"describe-eif", "--eif-path", "a"}).eif_path, "a");
    EXPECT_EQ(refused({"describe-eif"}), kUsageExit);
    EXPECT_EQ(parsed<Pcr>({"pcr", "--signing-certificate", "c.pem"}).signing_certificate, "c.pem");
    EXPECT_EQ(refused({"pcr"}), kUsageExit);
    EXPECT_EQ(refused({"pcr", "--input", "a", "--signing-certificate", "b"}), kUsageExit);
    EXPECT_EQ(
        parsed<SignEif>({"sign-eif", "--eif-path", "a", "--private-key", "k", "--signing-certificate", "c"})
            .private_key,
        "k");
    EXPECT_EQ(refused({"sign-eif", "--eif-path", "a", "--private-key", "k"}), kUsageExit);
    EXPECT_EQ(parsed<Explain>({"explain", "--error-code", "E26"}).error_code, "E26");
    EXPECT_EQ(parsed<BuildEnclave>({"build-enclave", "--docker-uri", "u", "--output-file", "o", "--name", "n",
                                    "--version", "1", "--metadata", "m"})
                  .docker_uri,
              "u");
    EXPECT_EQ(refused({"build-enclave", "--docker-uri", "u"}), kUsageExit);
}

TEST(Arguments, HelpAndVersionAreNoErrors) {
    EXPECT_EQ(refused({"--help"}), 0);
    EXPECT_EQ(refused({"run-enclave", "--help"}), 0);
    EXPECT_THAT(parse_arguments({"--version"}).text, HasSubstr("Nitro CLI "));
    EXPECT_EQ(refused({}), kUsageExit);
    EXPECT_EQ(refused({"no-such-command"}), kUsageExit);
}

}  // namespace
}  // namespace alcove::nitro_cli

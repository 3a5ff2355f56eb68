// SPDX-License-Identifier: Apache-2.0
#include "cli/parse.hpp"

#include <gtest/gtest.h>

namespace alcove::cli {
namespace {

template <typename T>
T command_of(const std::vector<std::string>& arguments) {
    const auto parsed = parse_arguments(arguments);
    EXPECT_TRUE(parsed.invocation) << parsed.text;
    if (!parsed.invocation) return {};
    const auto* command = std::get_if<T>(&parsed.invocation->command);
    EXPECT_NE(command, nullptr);
    return command != nullptr ? *command : T{};
}

Exit exit_of(const std::vector<std::string>& arguments) {
    return parse_arguments(arguments).exit;
}

TEST(Parse, RunTakesItsOptions) {
    const auto run = command_of<EnclaveRun>({"enclave",  "run",      "--image",   "a.eif",     "--cpus",
                                             "4",        "--memory", "2G",        "--pages",   "2m",
                                             "--debug",  "--name",   "web",       "--cid",     "4294967294",
                                             "--policy", "shared",   "--no-wait", "--timeout", "7"});

    EXPECT_EQ(run.image, "a.eif");
    EXPECT_EQ(run.vcpus, 4U);
    EXPECT_EQ(run.memory_mib, 2048U);
    EXPECT_EQ(run.pages, "2m");
    EXPECT_TRUE(run.debug);
    EXPECT_EQ(run.name, "web");
    EXPECT_EQ(run.cid, 4294967294U);
    EXPECT_EQ(run.policy, "shared");
    EXPECT_FALSE(run.wait);
    EXPECT_EQ(run.timeout, std::chrono::seconds(7));
}

TEST(Parse, RunHasDefaults) {
    const auto run = command_of<EnclaveRun>({"enclave", "run", "a.eif"});

    EXPECT_EQ(run.image, "a.eif");
    EXPECT_EQ(run.vcpus, 2U);
    EXPECT_FALSE(run.memory_mib);
    EXPECT_TRUE(run.wait);
    EXPECT_FALSE(run.debug);
    EXPECT_EQ(run.timeout, std::chrono::seconds(180));
}

TEST(Parse, AVmCarvesUnlessItIsToldNotTo) {
    EXPECT_FALSE(command_of<VmStart>({"vm", "start"}).enclaves)
        << "left to the configuration, then to the default";
    EXPECT_EQ(command_of<VmStart>({"vm", "start", "--enclaves"}).enclaves, true);
    EXPECT_EQ(command_of<VmStart>({"vm", "start", "--no-enclaves"}).enclaves, false);
}

TEST(Parse, ListenTakesOneOfItsTasks) {
    const auto listen = command_of<VmListen>(
        {"enclave", "listen", "web", "7000", "--keep", "--forward", "unix:/run/app.sock"});
    EXPECT_EQ(listen.vm, "web");
    EXPECT_EQ(listen.port, 7000U);
    EXPECT_TRUE(listen.keep);
    EXPECT_EQ(listen.forward, "unix:/run/app.sock");
    EXPECT_EQ(command_of<VmListen>({"enclave", "listen", "web", "1", "--exec", "cat -n"}).exec, "cat -n");

    EXPECT_EQ(exit_of({"enclave", "listen", "web"}), Exit::Usage);
    EXPECT_EQ(exit_of({"enclave", "listen", "web", "4294967295"}), Exit::Usage);
    EXPECT_EQ(exit_of({"enclave", "listen", "web", "1", "--exec", "a", "--forward", "unix:b"}), Exit::Usage);
}

TEST(Parse, ThePolicyOfEnclavesIsShownOrSet) {
    EXPECT_EQ(command_of<VmPolicy>({"vm", "policy", "dev"}).policy, "");
    EXPECT_EQ(command_of<VmPolicy>({"vm", "policy", "dev", "shared"}).policy, "shared");
    EXPECT_EQ(command_of<NePolicy>({"ne", "policy"}).policy, "");
    EXPECT_EQ(command_of<NePolicy>({"ne", "policy", "dedicated"}).policy, "dedicated");

    EXPECT_EQ(exit_of({"vm", "policy"}), Exit::Usage);
    EXPECT_EQ(exit_of({"ne", "policy", "all"}), Exit::Usage);
}

TEST(Parse, GlobalOptionsStandAnywhere) {
    for (const auto& arguments :
         std::vector<std::vector<std::string>>{{"--json", "--host", "local", "enclave", "list"},
                                               {"enclave", "--json", "list", "--host", "local"},
                                               {"enclave", "list", "--host=local", "--json"}}) {
        const auto parsed = parse_arguments(arguments);
        ASSERT_TRUE(parsed.invocation) << parsed.text;
        EXPECT_TRUE(parsed.invocation->globals.json);
        EXPECT_EQ(parsed.invocation->globals.host, HostChoice::Local);
    }
}

TEST(Parse, BuildTakesACommandWithOptionsOfItsOwn) {
    const auto build =
        command_of<ImageBuild>({"image", "build", "--kernel", "vmlinuz", "--directory", "app", "--env", "A=1",
                                "--env", "B=2", "-o", "a.eif", "--", "/bin/app", "--port", "5000"});

    EXPECT_EQ(build.command, (std::vector<std::string>{"/bin/app", "--port", "5000"}));
    EXPECT_EQ(build.environment, (std::vector<std::string>{"A=1", "B=2"}));
    EXPECT_FALSE(build.command_line);
    EXPECT_EQ(build.modules, "auto");
}

TEST(Parse, BuildTakesACommandAsAnOption) {
    const auto build = command_of<ImageBuild>(
        {"image", "build", "--cmd", "/bin/app", "serve", "--tar", "app.tar", "--output", "a.eif"});

    EXPECT_EQ(build.command, (std::vector<std::string>{"/bin/app", "serve"}));
    EXPECT_EQ(build.kernel, "debian");
}

TEST(Parse, VerifyTakesManyDemands) {
    const auto verify =
        command_of<AttestVerify>({"attest", "verify", "--document", "d", "--root", "r.pem", "--pcr", "0=aa",
                                  "--pcr", "8=bb", "--crl", "x", "--crl", "y", "--allow-debug"});

    EXPECT_EQ(verify.pcrs, (std::vector<std::string>{"0=aa", "8=bb"}));
    EXPECT_EQ(verify.revocation_lists.size(), 2U);
    EXPECT_TRUE(verify.allow_debug);
    EXPECT_FALSE(verify.allow_development);
}

TEST(Parse, WrongArgumentsAreUsageErrors) {
    EXPECT_EQ(exit_of({}), Exit::Usage);
    EXPECT_EQ(exit_of({"enclave"}), Exit::Usage);
    EXPECT_EQ(exit_of({"enclave", "fly"}), Exit::Usage);
    EXPECT_EQ(exit_of({"enclave", "run"}), Exit::Usage);
    EXPECT_EQ(exit_of({"enclave", "run", "a", "--cpus", "0"}), Exit::Usage);
    EXPECT_EQ(exit_of({"enclave", "run", "a", "--memory", "lots"}), Exit::Usage);
    EXPECT_EQ(exit_of({"enclave", "run", "a", "--pages", "1g"}), Exit::Usage);
    EXPECT_EQ(exit_of({"enclave", "run", "a", "--cid", "3"}), Exit::Usage);
    EXPECT_EQ(exit_of({"enclave", "connect", "web"}), Exit::Usage);
    EXPECT_EQ(exit_of({"attest", "verify", "d"}), Exit::Usage);
    EXPECT_EQ(exit_of({"attest", "verify", "d", "--root", "r", "--root-from-host"}), Exit::Usage);
    EXPECT_EQ(exit_of({"image", "build", "-o", "a", "--directory", "d", "--tar", "t", "--cmd", "/x"}),
              Exit::Usage);
    EXPECT_EQ(exit_of({"image", "build", "-o", "a", "--directory", "d", "--sign-key", "k", "--cmd", "/x"}),
              Exit::Usage);
    EXPECT_EQ(exit_of({"image", "pcr"}), Exit::Usage);
    EXPECT_EQ(exit_of({"--host", "moon", "version"}), Exit::Usage);
}

TEST(Parse, HelpIsNoError) {
    const auto help = parse_arguments({"enclave", "run", "--help"});

    EXPECT_FALSE(help.invocation);
    EXPECT_EQ(help.exit, Exit::Ok);
    EXPECT_NE(help.text.find("--memory"), std::string::npos);
}

TEST(Parse, MemoryHasSuffixes) {
    EXPECT_EQ(parse_memory_mib("512").value(), 512U);
    EXPECT_EQ(parse_memory_mib("512M").value(), 512U);
    EXPECT_EQ(parse_memory_mib("2g").value(), 2048U);
    EXPECT_EQ(parse_memory_mib("1T").value(), 1048576U);
    for (const char* wrong : {"", "0", "-1", "1.5G", "12K", "1GB", " 1", "99999999999999999999",
                              "18446744073709551615M", "99999999T"})
        EXPECT_EQ(parse_memory_mib(wrong).error().code(), ErrorCode::InvalidArgument) << wrong;
}

}  // namespace
}  // namespace alcove::cli

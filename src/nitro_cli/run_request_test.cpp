// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/run_request.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/captured_test.hpp"
#include "nitro_cli/failure_code.hpp"
#include "support/bits.hpp"

namespace alcove::nitro_cli {
namespace {

using testing::ElementsAre;

RunEnclave usual() {
    return {.eif_path = "/images/web.eif",
            .memory = "512",
            .cpu_count = "2",
            .cpu_ids = {},
            .enclave_cid = {},
            .enclave_name = {},
            .config = {}};
}

template <typename T>
FailureCode code(const Result<T>& result) {
    EXPECT_FALSE(result.has_value());
    return code_of(result.error());
}

TEST(RunRequest, SizesHaveUnits) {
    EXPECT_EQ(memory_of("64").value(), 64U);
    EXPECT_EQ(memory_of("64M").value(), 64U);
    EXPECT_EQ(memory_of("2g").value(), 2048U);
    EXPECT_EQ(memory_of("1T").value(), 1024U * 1024U);
    for (const char* wrong :
         {"", "M", "x", "64K", "64MB", "-1", "1.5G", "99999999999999999999", "999999999T"})
        EXPECT_EQ(code(memory_of(wrong)), FailureCode::InvalidArgument) << wrong;
}

TEST(RunRequest, NumbersAreNumbers) {
    auto arguments = usual();
    arguments.cpu_count = "1z";
    EXPECT_EQ(code(read_request(arguments)), FailureCode::InvalidArgument);
    arguments = usual();
    arguments.cpu_count.reset();
    arguments.cpu_ids = {"2", "x"};
    EXPECT_EQ(code(read_request(arguments)), FailureCode::InvalidArgument);
}

TEST(RunRequest, ReservedContextIdsAreRefused) {
    auto arguments = usual();
    for (const char* reserved : {"1", "2", "3", "4294967295", "4294967296", "18446744073709551615"}) {
        arguments.enclave_cid = reserved;
        EXPECT_EQ(code(read_request(arguments)), FailureCode::InvalidArgument) << reserved;
    }
    arguments.enclave_cid = "0";
    EXPECT_EQ(read_request(arguments)->cid, 0U);
    arguments.enclave_cid = "4";
    EXPECT_EQ(read_request(arguments)->cid, 4U);
}

TEST(RunRequest, TheConsoleImpliesDebugMode) {
    auto arguments = usual();
    arguments.attach_console = true;

    EXPECT_TRUE(read_request(arguments)->debug);
}

TEST(RunRequest, AConfigurationSaysEverything) {
    const auto request =
        request_of_json(R"({"eif_path":"a.eif","memory_mib":512,"cpu_ids":[2,3],"enclave_cid":20,)"
                        R"("enclave_name":"web","debug_mode":true,"unknown":1})");

    ASSERT_TRUE(request) << request.error().to_string();
    EXPECT_EQ(request->eif_path, "a.eif");
    EXPECT_EQ(request->memory_mib, 512U);
    EXPECT_THAT(request->cpu_ids, ElementsAre(2U, 3U));
    EXPECT_EQ(request->cid, 20U);
    EXPECT_EQ(request->name, "web");
    EXPECT_TRUE(request->debug);
}

TEST(RunRequest, AWrongConfigurationSaysHow) {
    EXPECT_EQ(code(request_of_json("{")), FailureCode::Serde);
    EXPECT_EQ(code(request_of_json(R"({"eif_path":"a","cpu_count":2})")), FailureCode::Serde);
    EXPECT_EQ(code(request_of_json(R"({"eif_path":"a","memory_mib":"512","cpu_count":2})")),
              FailureCode::Serde);
    EXPECT_EQ(code(request_of_json(R"({"eif_path":"a","memory_mib":512,"cpu_ids":["2"]})")),
              FailureCode::Serde);
    EXPECT_EQ(code(request_of_json(R"({"eif_path":"a","memory_mib":512})")), FailureCode::MissingArgument);
    EXPECT_EQ(code(request_of_json(R"({"eif_path":"a","memory_mib":512,"cpu_count":2,"cpu_ids":[2]})")),
              FailureCode::ConflictingArgument);
    auto arguments = usual();
    arguments.config = "/nowhere/config.json";
    EXPECT_EQ(code(read_request(arguments)), FailureCode::FileOperation);
}

TEST(RunRequest, AFileOfAConfigurationIsRead) {
    const cli::ScratchFolder folder;
    auto arguments = usual();
    arguments.config = folder.write("c.json", R"({"eif_path":"a","memory_mib":64,"cpu_count":1})");
    arguments.attach_console = true;

    const auto request = read_request(arguments);

    ASSERT_TRUE(request);
    EXPECT_EQ(request->cpu_count, 1U);
    EXPECT_TRUE(request->debug);
}

TEST(RunRequest, ANameIsTheFilesAndIsCountedUp) {
    RunRequest request;
    request.eif_path = "/images/web.eif";
    EXPECT_EQ(choose_name(request, {}), "web");
    EXPECT_EQ(choose_name(request, {"web", "web_1"}), "web_2");
    request.eif_path = "plain";
    EXPECT_EQ(choose_name(request, {"web"}), "plain");
    request.name = "mine.eif";
    EXPECT_EQ(choose_name(request, {"mine.eif"}), "mine.eif_1");
}

TEST(RunRequest, LargeImagesAndMuchMemoryMayTakeLonger) {
    using std::chrono::seconds;
    EXPECT_EQ(boot_patience(2_GiB, 32_GiB), seconds(180));
    EXPECT_EQ(boot_patience(6_GiB, 100_GiB), seconds(180));
    EXPECT_EQ(boot_patience(6_GiB + 1, 32_GiB), seconds(270));
    EXPECT_EQ(boot_patience(10_GiB, 128_GiB), seconds(360));
}

}  // namespace
}  // namespace alcove::nitro_cli

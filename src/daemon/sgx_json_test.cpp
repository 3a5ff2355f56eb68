// SPDX-License-Identifier: Apache-2.0
#include "daemon/sgx_json.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/bits.hpp"

namespace alcove::daemon {
namespace {

sgx::Configuration four_mib() {
    sgx::Configuration configuration;
    configuration.epc = {{.size_mib = 4}};
    return configuration;
}

TEST(SgxJson, AStateIsTold) {
    api::vmm::SgxState state{
        .enclaves_in_all = 1, .valid_pages = 7, .resident_pages = 1024, .asynchronous_exits = 3};
    state.sections = {{.base = 4_GiB, .size = 4_MiB}};
    state.leaves = {{.name = api::TextField<16>::of("EADD"), .completed = 5, .faulted = 1}};
    api::vmm::SgxEnclaveEntry enclave{};
    enclave.eid = 1;
    enclave.flags = api::vmm::SgxEnclaveEntry::kInitialized;
    enclave.mrenclave.fill(0xab);
    enclave.encls[1] = 5;
    enclave.enclu[4] = 9;
    state.enclaves = {enclave};

    const auto json = to_json(sgx_view(four_mib(), state));

    EXPECT_EQ(json["configuration"]["epc"][0]["size_mib"], 4);
    EXPECT_EQ(json["state"]["sections"][0]["base"], 4_GiB);
    EXPECT_EQ(json["state"]["leaves"]["EADD"]["completed"], 5);
    EXPECT_EQ(json["state"]["enclaves"][0]["mrenclave"].get<std::string>().substr(0, 4), "abab");
    EXPECT_EQ(json["state"]["asynchronous_exits"], 3);
    EXPECT_EQ(json["state"]["enclaves"][0]["leaves"]["EEXIT"], 9);
    EXPECT_EQ(json["state"]["enclaves"][0]["leaves"]["EADD"], 5);
    EXPECT_FALSE(json.contains("state_missing"));
}

TEST(SgxJson, OfEpcWithABudgetItIsToldWhatWentAndCame) {
    EXPECT_TRUE(to_json(sgx_view(four_mib(), api::vmm::SgxState{}))["state"]["spill"].is_null());

    const auto json = to_json(sgx_view(
        four_mib(), api::vmm::SgxState{.budget_pages = 256, .evictions = 9, .loads = 8, .overdrafts = 1}));

    EXPECT_EQ(json["state"]["spill"]["budget_pages"], 256);
    EXPECT_EQ(json["state"]["spill"]["evictions"], 9);
    EXPECT_EQ(json["state"]["spill"]["loads"], 8);
    EXPECT_EQ(json["state"]["spill"]["overdrafts"], 1);
}

TEST(SgxJson, OfEpcWithABalloonItIsToldWhatIsAskedForHeldAndReported) {
    EXPECT_TRUE(to_json(sgx_view(four_mib(), api::vmm::SgxState{}))["state"]["balloon"].is_null());

    api::vmm::SgxState state;
    state.balloon = api::vmm::SgxBalloon{.target = 3_MiB, .held = 2_MiB, .reported = 5_MiB};
    const auto json = to_json(sgx_view(four_mib(), state));

    EXPECT_EQ(json["state"]["balloon"]["target_bytes"], 3_MiB);
    EXPECT_EQ(json["state"]["balloon"]["held_bytes"], 2_MiB);
    EXPECT_EQ(json["state"]["balloon"]["reported_bytes"], 5_MiB);
}

TEST(SgxJson, AChangeIsOneNumberAndNothingElse) {
    EXPECT_EQ(parse_sgx_change(R"({"budget_mib": 4})")->budget_mib, 4U);
    EXPECT_EQ(parse_sgx_change(R"({"balloon_mib": 0})")->balloon_mib, 0U);
    for (const char* text : {"", "{}", R"({"budget_mib": "4M"})", R"({"budget_mib": -1})", R"({"mib": 4})",
                             R"({"budget_mib": 4, "balloon_mib": 4})"})
        EXPECT_FALSE(parse_sgx_change(text)) << text;
}

TEST(SgxJson, AnEnclaveThatIsBeingBuiltHasNoMeasurementYet) {
    api::vmm::SgxState state;
    state.enclaves.emplace_back();

    EXPECT_TRUE(to_json(sgx_view(four_mib(), state))["state"]["enclaves"][0]["mrenclave"].is_null());
}

TEST(SgxJson, WithoutAStateItSaysWhy) {
    const auto json = to_json(sgx_view(four_mib(), fail(ErrorCode::EnclaveNotReady, "not yet")));

    EXPECT_TRUE(json["state"].is_null());
    EXPECT_EQ(json["state_missing"], "not yet");
}

TEST(SgxJson, TheHostsBudgetIsItsMemory) {
    std::vector<host::NodeAccount> account = {{.node = {0}, .lines = {}}};
    account[0].lines = {{.owner = "host"},
                        {.owner = "i-1", .small_bytes = 64_MiB, .epc_bytes = 8_MiB},
                        {.owner = "free", .small_bytes = 24_MiB}};

    const auto json = to_json(host::SgxHardware{}, account);

    EXPECT_EQ(json["hardware"]["present"], false);
    EXPECT_EQ(json["software"]["lent_bytes"], 8_MiB);
    EXPECT_EQ(json["software"]["free_bytes"], 24_MiB);
    EXPECT_EQ(json["software"]["total_bytes"], 32_MiB);
    ASSERT_EQ(json["software"]["owners"].size(), 1U);
    EXPECT_EQ(json["software"]["owners"][0]["owner"], "i-1");
}

TEST(SgxJson, OfTheProcessorsSgxThereAreSectionsAndNoNumbers) {
    auto configuration = four_mib();
    configuration.backend = sgx::Backend::Hardware;
    api::vmm::SgxState state;
    state.sections = {{.base = 4_GiB, .size = 4_MiB}};

    const auto json = to_json(sgx_view(configuration, state))["state"];

    EXPECT_EQ(json["sections"][0]["size"], 4_MiB);
    for (const char* name :
         {"valid_pages", "resident_pages", "evicted_pages", "leaves", "enclaves", "enclaves_in_all"}) {
        ASSERT_TRUE(json.contains(name)) << name;
        EXPECT_TRUE(json[name].is_null()) << name;
    }
}

TEST(SgxJson, TheProcessorsEpcHasItsOwners) {
    std::vector<host::NodeAccount> account = {{.node = {1}, .lines = {}}};
    account[0].lines = {{.owner = "host"},
                        {.owner = "i-1", .epc_bytes = 2_MiB, .hardware_epc_bytes = 8_MiB},
                        {.owner = "free", .hardware_epc_bytes = 24_MiB}};

    const auto json = to_json(host::SgxHardware{.present = true}, account);

    EXPECT_EQ(json["hardware"]["lent_bytes"], 8_MiB);
    EXPECT_EQ(json["hardware"]["free_bytes"], 24_MiB);
    ASSERT_EQ(json["hardware"]["owners"].size(), 1U);
    EXPECT_EQ(json["hardware"]["owners"][0]["owner"], "i-1");
    EXPECT_EQ(json["hardware"]["owners"][0]["node"], 1);
    EXPECT_EQ(json["hardware"]["owners"][0]["bytes"], 8_MiB);
    EXPECT_EQ(json["software"]["lent_bytes"], 2_MiB);
}

TEST(SgxJson, WhatTheDatabaseHasComesBack) {
    EXPECT_EQ(stored_text({}), "");
    EXPECT_FALSE(parse_stored("").value());
    EXPECT_EQ(parse_stored(stored_text(four_mib())).value(), four_mib());
    EXPECT_FALSE(parse_stored("{"));
}

}  // namespace
}  // namespace alcove::daemon

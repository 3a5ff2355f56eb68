// SPDX-License-Identifier: Apache-2.0
#include "sgx/configuration_json.hpp"

#include <gtest/gtest.h>

#include "support/bits.hpp"

namespace alcove::sgx {
namespace {

Result<Configuration> parse(std::string_view text) {
    const auto json = codec::json::parse(text);
    return parse_configuration(*json);
}

TEST(SgxConfigurationJson, ComesBackAsItWent) {
    Configuration configuration;
    configuration.epc = {{.size_mib = 8}, {.size_mib = 2, .base = memory::GuestAddress(8_GiB), .node = 1}};
    configuration.backend = Backend::Software;
    configuration.sgx2 = false;
    configuration.launch_hash = {1, 2, 3, 0xf000'0000'0000'0004};
    configuration.launch_hash_writable = false;
    configuration.provision_key = true;
    configuration.population = Population::Oversubscribe;
    configuration.budget_mib = 4;
    configuration.balloon_mib = 3;
    configuration.key_root = KeyRoot::Host;
    configuration.on_migrate = OnMigrate::SuspendFirst;

    EXPECT_EQ(parse_configuration(to_json(configuration)).value(), configuration);
}

TEST(SgxConfigurationJson, OnlyTheEpcHasToBeSaid) {
    Configuration expected;
    expected.epc = {{.size_mib = 8}};

    EXPECT_EQ(parse(R"({"epc": [{"size_mib": 8}]})").value(), expected);
    EXPECT_EQ(parse("{}").error().code(), ErrorCode::JsonMalformed);
}

TEST(SgxConfigurationJson, WhatIsNotUnderstoodIsRefused) {
    EXPECT_EQ(parse(R"({"epc": [], "epcs": 1})").error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(parse(R"({"epc": [{"size_mib": 8, "size": 1}]})").error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(parse(R"({"epc": [{"size_mib": 8, "node": 4294967296}]})").error().code(),
              ErrorCode::InvalidArgument);
    EXPECT_EQ(parse(R"({"epc": [{"size_mib": "8"}]})").error().code(), ErrorCode::JsonMalformed);
    EXPECT_EQ(parse(R"({"epc": [], "key_root": "mine"})").error().code(), ErrorCode::MachineConfig);
    EXPECT_EQ(parse(R"({"epc": [], "launch_control": {"hash": "12"}})").error().code(),
              ErrorCode::MachineConfig);
    EXPECT_EQ(parse("[]").error().code(), ErrorCode::JsonMalformed);
}

}  // namespace
}  // namespace alcove::sgx

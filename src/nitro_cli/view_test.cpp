// SPDX-License-Identifier: Apache-2.0
//
// Against the texts that AWS's tool prints, character by character.
#include "nitro_cli/view.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace alcove::nitro_cli {
namespace {

EnclaveView web() {
    return {.name = "web",
            .id = "i-0123456789abcdef0-enc18c2f31a5c07d2e",
            .process_id = 4711,
            .cid = 16,
            .cpu_count = 2,
            .cpu_ids = {1, 3},
            .memory_mib = 512,
            .state = State::Running,
            .debug = true};
}

TEST(View, RunPrintsSevenFields) {
    EXPECT_EQ(codec::json::dump_pretty(run_json(web())), R"({
  "EnclaveName": "web",
  "EnclaveID": "i-0123456789abcdef0-enc18c2f31a5c07d2e",
  "ProcessID": 4711,
  "EnclaveCID": 16,
  "NumberOfCPUs": 2,
  "CPUIDs": [
    1,
    3
  ],
  "MemoryMiB": 512
}
)");
}

TEST(View, DescribePrintsStateFlagsAndMeasurementsBehindThem) {
    const auto image =
        codec::json::parse(R"({"EifVersion": 4, "Measurements": {"HashAlgorithm": "Sha384 { ... }",
        "PCR0": "00"}, "ImageName": "n", "ImageVersion": "1", "Metadata": {"BuildTool": "t"}})")
            .value();

    EXPECT_EQ(codec::json::dump_pretty(describe_json(web(), image, Metadata::Show)), R"({
  "EnclaveName": "web",
  "EnclaveID": "i-0123456789abcdef0-enc18c2f31a5c07d2e",
  "ProcessID": 4711,
  "EnclaveCID": 16,
  "NumberOfCPUs": 2,
  "CPUIDs": [
    1,
    3
  ],
  "MemoryMiB": 512,
  "State": "RUNNING",
  "Flags": "DEBUG_MODE",
  "Measurements": {
    "HashAlgorithm": "Sha384 { ... }",
    "PCR0": "00"
  },
  "ImageName": "n",
  "ImageVersion": "1",
  "Metadata": {
    "BuildTool": "t"
  }
}
)");
}

TEST(View, MetadataIsShownOnRequestOnly) {
    auto enclave = web();
    enclave.debug = false;
    enclave.state = State::Terminating;
    const auto image = codec::json::parse(R"({"ImageName": "n", "Metadata": {}})").value();

    const auto json = describe_json(enclave, image, Metadata::Leave);

    EXPECT_EQ(json["State"], "TERMINATING");
    EXPECT_EQ(json["Flags"], "NONE");
    EXPECT_FALSE(json.contains("ImageName"));
    EXPECT_FALSE(json.contains("Metadata"));
    EXPECT_FALSE(json.contains("Measurements"));
}

TEST(View, TerminatePrintsThree) {
    EXPECT_EQ(codec::json::dump(terminate_json("web", "i-1-enc2")),
              R"({"EnclaveName":"web","EnclaveID":"i-1-enc2","Terminated":true})");
}

}  // namespace
}  // namespace alcove::nitro_cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/host_map.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace alcove::cli {
namespace {

using codec::json::Json;
using testing::HasSubstr;

// A primary VM of two cores, one of which is with its enclave; the ledger names them in the wrong order.
Json host() {
    return codec::json::parse(R"({
        "topology": {"cores": [{"id": 0, "node": 0, "cpus": [0, 1]}, {"id": 2, "node": 0, "cpus": [2, 3]},
                               {"id": 4, "node": 0, "cpus": [4, 5]}, {"id": 6, "node": 0, "cpus": [6, 7]}]},
        "memory": {"total_bytes": 4294967296},
        "ledger": [{"node": 0, "owners": [
            {"owner": "host", "cores": [0], "memory_4k_bytes": 0, "memory_2m_bytes": 0},
            {"owner": "i-1-enc2", "cores": [4], "memory_4k_bytes": 268435456, "memory_2m_bytes": 0},
            {"owner": "i-1", "cores": [2], "memory_4k_bytes": 805306368, "memory_2m_bytes": 0, "epc_bytes": 8388608},
            {"owner": "free", "cores": [6], "memory_4k_bytes": 1073741824, "memory_2m_bytes": 0, "hardware_epc_bytes": 2097152}]}]})")
        .value();
}
Json map() {
    return host_map(
        host(), codec::json::parse(R"({"vms": [{"id": "i-1", "name": "dev"}]})").value(),
        codec::json::parse(R"({"enclaves": [{"id": "i-1-enc2", "name": null, "parent": "i-1"}]})").value());
}

TEST(HostMap, EveryCoreHasItsOwner) {
    const Json cores = map()["cores"];

    ASSERT_EQ(cores.size(), 4U);
    EXPECT_EQ(cores[0]["owner"], "host");
    EXPECT_EQ(cores[1]["name"], "dev");
    EXPECT_EQ(cores[2]["parent"], "i-1");
    EXPECT_EQ(cores[3]["owner"], "free");
}

TEST(HostMap, AllMemoryIsSomebodysAndEnclavesFollowTheirPrimary) {
    const Json memory = map()["memory"];

    std::vector<std::string> owners;
    uint64_t total = 0;
    for (const auto& line : memory) {
        owners.push_back(line["owner"]);
        total += line["bytes"].get<uint64_t>();
    }
    EXPECT_THAT(owners, testing::ElementsAre("host", "i-1", "i-1-enc2", "free"));
    EXPECT_EQ(total, (uint64_t{4} << 30) - 8388608) << "the rest is EPC";
    ASSERT_EQ(map()["epc"].size(), 2U);
    EXPECT_EQ(map()["epc"][0]["name"], "dev");
    EXPECT_EQ(map()["epc"][0]["bytes"], 8388608);
    EXPECT_EQ(map()["epc"][1]["made_of"], "EPC of the host");
    EXPECT_EQ(map()["epc"][1]["bytes"], 2097152) << "which is no memory";
}

TEST(HostMap, ThePictureShowsWhoHasWhat) {
    const std::string text = render_host_map(map(), 80);

    EXPECT_THAT(text, HasSubstr("2,3   dev"));
    EXPECT_THAT(text, HasSubstr("4,5     + i-1-enc2"));
    EXPECT_THAT(text, HasSubstr("dev     8 MiB  memory"));
    auto without = map();
    without["epc"].clear();
    EXPECT_THAT(render_host_map(without, 80), HasSubstr("EPC: none"));
    EXPECT_THAT(text, HasSubstr("768 MiB"));
}

}  // namespace
}  // namespace alcove::cli

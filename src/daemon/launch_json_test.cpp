// SPDX-License-Identifier: Apache-2.0
#include "daemon/launch_json.hpp"

#include <gtest/gtest.h>

namespace alcove::daemon {
namespace {

ErrorCode code_of(std::string_view text) {
    const auto body = parse_launch_body(text);
    return body ? ErrorCode::Internal : body.error().code();
}

TEST(LaunchJson, AFullBodyIsRead) {
    const auto body = parse_launch_body(R"({"name":"web","image":{"token":"00ff"},"vcpus":2,"memory_mib":512,
        "pages":"2m","policy":"shared","debug":true,"cid":77,"cpus":[5,4]})")
                          .value();

    EXPECT_EQ(body.name, "web");
    EXPECT_EQ(body.image.token, "00ff");
    EXPECT_TRUE(body.image.disk.empty());
    EXPECT_EQ(body.vcpus, 2U);
    EXPECT_EQ(body.cpus, (std::vector<uint32_t>{5, 4}));
    EXPECT_EQ(body.memory_mib, 512U);
    EXPECT_EQ(body.pages, host::PageSize::Size2M);
    EXPECT_EQ(body.policy, host::CpuPolicy::Shared);
    EXPECT_TRUE(body.debug);
    EXPECT_EQ(body.cid, 77U);
}

TEST(LaunchJson, OptionalFieldsHaveDefaults) {
    const auto body =
        parse_launch_body(R"({"image":{"disk":"img-1","size":9},"vcpus":1,"memory_mib":64})").value();

    EXPECT_EQ(body.image.disk, "img-1");
    EXPECT_EQ(body.image.bytes, 9U);
    EXPECT_EQ(body.pages, host::PageSize::Size4K);
    EXPECT_EQ(body.policy, host::CpuPolicy::Dedicated);
    EXPECT_FALSE(body.debug);
    EXPECT_FALSE(body.cid);
}

TEST(LaunchJson, CpusAreNumbersAndOfAnEnclave) {
    const auto body = [](const char* cpus) {
        return R"({"image":{"token":"00ff"},"vcpus":2,"memory_mib":512,"cpus":)" + std::string(cpus) + "}";
    };
    EXPECT_EQ(code_of(body("[2,3]")), ErrorCode::Internal);
    for (const char* wrong : {"[-1]", "[\"2\"]", "[2.5]", "[4294967296]"})
        EXPECT_EQ(code_of(body(wrong)), ErrorCode::InvalidArgument) << wrong;
    EXPECT_EQ(code_of(body("2")), ErrorCode::JsonMalformed);
    EXPECT_FALSE(parse_launch_body(body("[2,3]"), api::VmRole::Primary));
}

TEST(LaunchJson, SgxIsOfAPrimaryVm) {
    constexpr std::string_view kBody =
        R"({"image":{"token":"00ff"},"vcpus":2,"memory_mib":512,"sgx":{"epc":[{"size_mib":8,"base":4294967296}]}})";

    const auto body = parse_launch_body(kBody, api::VmRole::Primary).value();

    ASSERT_TRUE(body.sgx);
    EXPECT_EQ(body.sgx->epc.at(0).size_mib, 8U);
    EXPECT_EQ(code_of(kBody), ErrorCode::InvalidArgument) << "an enclave has none";
}

TEST(LaunchJson, FormIsChecked) {
    EXPECT_EQ(code_of(""), ErrorCode::JsonMalformed);
    EXPECT_EQ(code_of("[]"), ErrorCode::JsonMalformed);
    EXPECT_EQ(code_of(R"({"vcpus":1,"memory_mib":64})"), ErrorCode::JsonMalformed);
    EXPECT_EQ(code_of(R"({"image":"a","vcpus":1,"memory_mib":64})"), ErrorCode::JsonMalformed);
    EXPECT_EQ(code_of(R"({"image":{"token":"a"},"vcpus":-1,"memory_mib":64})"), ErrorCode::JsonMalformed);
    EXPECT_EQ(code_of(R"({"image":{"token":"a"},"vcpus":1.5,"memory_mib":64})"), ErrorCode::JsonMalformed);
    EXPECT_EQ(code_of(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":"64"})"), ErrorCode::JsonMalformed);
    EXPECT_EQ(code_of(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"debug":1})"),
              ErrorCode::JsonMalformed);
}

TEST(LaunchJson, UnknownFieldsAreRefused) {
    EXPECT_EQ(code_of(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"pagesize":"2m"})"),
              ErrorCode::InvalidArgument);
    EXPECT_EQ(code_of(R"({"image":{"token":"a","path":"/etc/shadow"},"vcpus":1,"memory_mib":64})"),
              ErrorCode::InvalidArgument);
}

TEST(LaunchJson, ValuesOutOfRangeAreRefused) {
    EXPECT_EQ(code_of(R"({"image":{},"vcpus":1,"memory_mib":64})"), ErrorCode::InvalidArgument);
    EXPECT_EQ(code_of(R"({"image":{"token":"a","disk":"b","size":1},"vcpus":1,"memory_mib":64})"),
              ErrorCode::InvalidArgument);
    EXPECT_EQ(code_of(R"({"image":{"token":"a"},"vcpus":4294967296,"memory_mib":64})"),
              ErrorCode::InvalidArgument);
    EXPECT_EQ(code_of(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":17592186044416})"),
              ErrorCode::InvalidArgument);
    EXPECT_EQ(code_of(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"pages":"1g"})"),
              ErrorCode::InvalidArgument);
    EXPECT_EQ(code_of(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"policy":"any"})"),
              ErrorCode::InvalidArgument);
}

TEST(LaunchJson, APrimaryVmHasDisksAndNeitherDebugModeNorAContextId) {
    const auto parse = [](std::string_view text) { return parse_launch_body(text, api::VmRole::Primary); };
    const auto body = parse(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"disks":[
        {"token":"b","read_only":true},{"disk":"vmd-1","size":512}]})")
                          .value();

    EXPECT_FALSE(body.enclave_policy);
    EXPECT_EQ(parse(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"enclave_policy":"shared"})")
                  ->enclave_policy,
              host::CpuPolicy::Shared);
    EXPECT_EQ(parse_policy_body(R"({"policy":"dedicated"})").value(), host::CpuPolicy::Dedicated);
    EXPECT_FALSE(parse_policy_body("{}"));
    const auto with_enclave = parse(R"({"image":{"token":"a"},"vcpus":4,"memory_mib":512,"provisioned":[
        {"image":{"token":"b"},"vcpus":2,"memory_mib":128,"name":"web","debug":true,"cid":20}]})");
    ASSERT_TRUE(with_enclave) << with_enclave.error().to_string();
    ASSERT_EQ(with_enclave->provisioned.size(), 1U);
    EXPECT_EQ(with_enclave->provisioned[0].image.token, "b");
    EXPECT_EQ(with_enclave->provisioned[0].memory_mib, 128U);
    EXPECT_EQ(with_enclave->provisioned[0].cid, 20U);
    EXPECT_TRUE(with_enclave->provisioned[0].debug);
    EXPECT_FALSE(parse(R"({"image":{"token":"a"},"vcpus":4,"memory_mib":512,"provisioned":[{"vcpus":2}]})"));
    EXPECT_FALSE(parse(R"({"image":{"token":"a"},"vcpus":4,"memory_mib":512,"provisioned":[
        {"image":{"token":"b"},"vcpus":2,"memory_mib":128,"pages":"2m"}]})"));
    ASSERT_EQ(body.disks.size(), 2U);
    EXPECT_EQ(body.disks[0].token, "b");
    EXPECT_TRUE(body.disks[0].read_only);
    EXPECT_EQ(body.disks[1].disk, "vmd-1");
    EXPECT_EQ(body.disks[1].bytes, 512U);
    EXPECT_FALSE(body.disks[1].read_only);
    EXPECT_FALSE(parse(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"debug":true})"));
    EXPECT_FALSE(parse(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"cid":5})"));
    EXPECT_FALSE(parse(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"disks":[{"path":"/dev/sda"}]})"));
    EXPECT_EQ(code_of(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"disks":[]})"),
              ErrorCode::InvalidArgument);
}

TEST(LaunchJson, APrimaryVmHasNetworks) {
    const auto parse = [](std::string_view networks) {
        return parse_launch_body(
            R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"networks":)" + std::string(networks) + "}",
            api::VmRole::Primary);
    };
    const auto body =
        parse(R"([{"token":"b","kind":"stream"},{"token":"c","kind":"tap","mac":"02:00:00:00:00:01"}])")
            .value();

    ASSERT_EQ(body.networks.size(), 2U);
    EXPECT_EQ(body.networks[0].kind, api::NetworkKind::Stream);
    EXPECT_FALSE(body.networks[0].mac);
    EXPECT_EQ(body.networks[1].token, "c");
    EXPECT_EQ(body.networks[1].mac, (api::MacAddress{2, 0, 0, 0, 0, 1}));
    for (const char* const wrong :
         {R"([{"kind":"tap"}])", R"([{"token":"b"}])", R"([{"token":"b","kind":"none"}])",
          R"([{"token":"b","kind":"tap","mac":"5"}])", R"([{"token":"b","kind":"tap","name":"tap0"}])", "5"})
        EXPECT_FALSE(parse(wrong)) << wrong;
    EXPECT_EQ(code_of(R"({"image":{"token":"a"},"vcpus":1,"memory_mib":64,"networks":[]})"),
              ErrorCode::InvalidArgument)
        << "of an enclave";
}

}  // namespace
}  // namespace alcove::daemon

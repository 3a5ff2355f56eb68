// SPDX-License-Identifier: Apache-2.0
#include "sgx_hardware/hardware_features.hpp"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sgx_hardware/cpuid_for_tests.hpp"

namespace alcove::sgx_hardware {
namespace {

using sgx::Configuration;
using testing::HasSubstr;

Configuration of_hardware() {
    Configuration configuration;
    configuration.epc = {{.size_mib = 4}};
    configuration.backend = sgx::Backend::Hardware;
    configuration.key_root = sgx::KeyRoot::Host;
    return configuration;
}

TEST(HardwareFeatures, AreWhatWasAskedForOutOfWhatKvmGives) {
    const auto features = hardware_features(of_hardware(), supported_cpuid()).value();

    EXPECT_TRUE(features.sgx1);
    EXPECT_TRUE(features.sgx2);
    EXPECT_EQ(features.miscselect, 1U);
    EXPECT_EQ(features.attributes, 0xa6U) << "without the provisioning key";
    EXPECT_EQ(features.xfrm, 7U) << "what the machine version has";
    EXPECT_EQ(features.max_enclave_size_not64, 0x1f);
    EXPECT_EQ(features.max_enclave_size_64, 0x38);
    EXPECT_EQ(features.launch_hash, sgx::kIntelLaunchHash);
    EXPECT_TRUE(features.launch_hash_writable);
}

TEST(HardwareFeatures, NothingIsToldThatKvmDoesNotGive) {
    auto supported = supported_cpuid();
    supported[3].ebx = 0;     // no MISCSELECT.EXINFO
    supported[4].eax = 0x36;  // no KSS
    supported[4].ecx = 3;     // no AVX

    const auto features = hardware_features(of_hardware(), supported).value();

    EXPECT_EQ(features.miscselect, 0U);
    EXPECT_EQ(features.attributes, 0x26U);
    EXPECT_EQ(features.xfrm, 3U);
}

TEST(HardwareFeatures, WhatIsNotWantedIsNotTold) {
    auto wanted = of_hardware();
    wanted.sgx2 = false;
    wanted.provision_key = true;
    wanted.launch_hash_writable = false;
    wanted.launch_hash = {1, 2, 3, 4};

    const auto features = hardware_features(wanted, supported_cpuid()).value();

    EXPECT_FALSE(features.sgx2);
    EXPECT_EQ(features.attributes, 0xb6U);
    EXPECT_FALSE(features.launch_hash_writable);
    EXPECT_EQ(features.launch_hash[3], 4U);
}

TEST(HardwareFeatures, KvmWithoutSgxIsRefused) {
    auto supported = supported_cpuid();
    supported[1].ebx = 0;
    const auto refused = hardware_features(of_hardware(), supported);
    EXPECT_EQ(refused.error().code(), ErrorCode::KvmUnable);
    EXPECT_THAT(refused.error().to_string(), HasSubstr("kvm_intel"));
    EXPECT_EQ(hardware_features(of_hardware(), {}).error().code(), ErrorCode::KvmUnable);
}

TEST(HardwareFeatures, LessThanWasAskedForIsRefused) {
    const auto refusal = [](const Configuration& wanted,
                            const std::function<void(std::vector<kvm_cpuid_entry2>&)>& spoil) {
        auto supported = supported_cpuid();
        spoil(supported);
        const auto refused = hardware_features(wanted, supported);
        EXPECT_EQ(refused.error().code(), ErrorCode::Unsupported);
        return refused.error().to_string();
    };
    EXPECT_THAT(refusal(of_hardware(), [](auto& cpuid) { cpuid[3].eax = 0; }), HasSubstr("no SGX1"));
    EXPECT_THAT(refusal(of_hardware(), [](auto& cpuid) { cpuid[3].eax = 1; }), HasSubstr("no SGX2"));
    EXPECT_THAT(refusal(of_hardware(), [](auto& cpuid) { cpuid[1].ecx = 0; }), HasSubstr("launch control"));
    auto provisioned = of_hardware();
    provisioned.provision_key = true;
    EXPECT_THAT(refusal(provisioned, [](auto& cpuid) { cpuid[4].eax = 0xa6; }),
                HasSubstr("sgx.provision_key = false"));
}

}  // namespace
}  // namespace alcove::sgx_hardware

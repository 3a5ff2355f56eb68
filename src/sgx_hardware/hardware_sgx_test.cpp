// SPDX-License-Identifier: Apache-2.0
#include "sgx_hardware/hardware_sgx.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sgx_hardware/cpuid_for_tests.hpp"
#include "sgx_hardware/hardware_calls_fake.hpp"

namespace alcove::sgx_hardware {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct HardwareSgxTest : testing::Test {
    HardwareSgxTest() {
        configuration.epc = {{.size_mib = 4}, {.size_mib = 2}};
        configuration.backend = sgx::Backend::Hardware;
        configuration.key_root = sgx::KeyRoot::Host;
    }

    Result<std::unique_ptr<HardwareSgx>> make() {
        HardwarePlan plan{.configuration = configuration, .epc = FakeKernel::devices({"a", "b"})};
        if (provision) plan.provision = FakeKernel::device("provision");
        auto sections = sgx::Sections::create(
                            {{memory::GuestAddress(4_GiB), 4_MiB}, {memory::GuestAddress(8_GiB), 2_MiB}})
                            .value();
        return HardwareSgx::create(kernel, vm, std::move(plan), std::move(sections), supported_cpuid());
    }
    kvm::Vcpu make_vcpu() {
        auto area = sys::memfd("vcpu").value();
        sys::truncate(area, 4096).value();
        return kvm::Vcpu::create(std::move(area), 4096).value();
    }

    sgx::Configuration configuration;
    bool provision = false;
    FakeKernel kernel;
    const kvm::Vm vm{Fd(), 0};
};

TEST_F(HardwareSgxTest, IsMadeInTheKernelsOrder) {
    configuration.provision_key = true;
    provision = true;

    const auto sgx = make();

    ASSERT_TRUE(sgx) << sgx.error().to_string();
    EXPECT_THAT(kernel.calls, ElementsAre("map a 4", "map b 2", "remove a", "remove b", "touch 4", "touch 2",
                                          "allow provision"));
    EXPECT_EQ(FakeKernel::held(), 4U) << "the device of the key is not needed any more";
}

TEST_F(HardwareSgxTest, TheProvisioningKeyIsGivenToWhoAskedAlone) {
    ASSERT_TRUE(make());
    EXPECT_THAT(kernel.calls, testing::Not(testing::Contains(HasSubstr("allow"))));

    provision = true;
    EXPECT_EQ(make().error().code(), ErrorCode::MachineConfig);
    provision = false;
    configuration.provision_key = true;
    EXPECT_EQ(make().error().code(), ErrorCode::MachineConfig);
    provision = true;
    kernel.refused = "allow provision";
    EXPECT_THAT(make().error().to_string(), HasSubstr("the provisioning key"));
    EXPECT_EQ(FakeKernel::held(), 0U);
}

TEST_F(HardwareSgxTest, EveryFailureGivesAllOfItBack) {
    for (const char* call : {"map a 4", "map b 2", "remove a", "touch 2"}) {
        kernel.refused = call;
        EXPECT_EQ(make().error().errno_value(), EIO) << call;
        EXPECT_EQ(FakeKernel::held(), 0U) << call;
    }
}

TEST_F(HardwareSgxTest, WhatHardwareCanNotDoIsRefusedBeforeAnythingIsAskedFor) {
    configuration.population = sgx::Population::Oversubscribe;
    EXPECT_EQ(make().error().code(), ErrorCode::MachineConfig);
    configuration.population = sgx::Population::Static;
    configuration.key_root = sgx::KeyRoot::Vm;
    EXPECT_EQ(make().error().code(), ErrorCode::MachineConfig);
    EXPECT_TRUE(kernel.calls.empty());
    EXPECT_EQ(FakeKernel::held(), 0U);
}

TEST_F(HardwareSgxTest, EachSectionIsAMemorySlotOfItsMapping) {
    const auto sgx = make().value();

    const auto slots = sgx->slots(3);

    ASSERT_EQ(slots.size(), 2U);
    EXPECT_EQ(slots[0].slot, 3U);
    EXPECT_EQ(slots[0].flags, 0U);
    EXPECT_EQ(slots[0].guest_address, 4_GiB);
    EXPECT_EQ(slots[0].size, 4_MiB);
    EXPECT_EQ(slots[1].slot, 4U);
    EXPECT_EQ(slots[1].guest_address, 8_GiB);
    EXPECT_EQ(slots[1].size, 2_MiB);
    EXPECT_NE(slots[0].host_address, slots[1].host_address);
    EXPECT_TRUE(is_aligned<uint64_t>(slots[0].host_address, 4_KiB));
}

TEST_F(HardwareSgxTest, CpuidHasTheSectionsAndWhatKvmGives) {
    const auto sgx = make().value();
    std::vector<kvm_cpuid_entry2> entries = {cpuid_entry(0, 0, 0xd, 0, 0, 0), cpuid_entry(7, 0, 0, 8, 0, 0)};

    sgx->extend_cpuid(entries, supported_cpuid());

    EXPECT_EQ(entries[0].eax, 0x12U);
    EXPECT_EQ(entries[1].ebx, 1U << 2 | 8);
    EXPECT_EQ(entries[1].ecx, 1U << 30) << "and no UMIP, which software needs";
    ASSERT_EQ(entries.size(), 2U + 5U);
    EXPECT_EQ(entries[2].eax, 3U);
    EXPECT_EQ(entries[2].edx, 0x381fU);
    EXPECT_EQ(entries[3].index, 1U);
    EXPECT_EQ(entries[3].eax, 0xa6U);
    EXPECT_EQ(entries[3].ecx, 7U);
    EXPECT_EQ(entries[4].ebx, 1U) << "4 GiB";
    EXPECT_EQ(entries[4].ecx, 4_MiB | 1);
    EXPECT_EQ(entries[5].ebx, 2U) << "8 GiB";
    EXPECT_EQ(entries[6].eax, 0U) << "the list ends";
}

TEST_F(HardwareSgxTest, AVcpuBeginsWithItsRegistersAsFirmwareLeavesThem) {
    configuration.launch_hash = {0x11, 0x22, 0x33, 0x44};
    const auto sgx = make().value();
    auto vcpu = make_vcpu();
    kernel.calls.clear();

    const auto handler = sgx->make_vcpu(vcpu, 0);

    ASSERT_TRUE(handler);
    EXPECT_EQ(*handler, nullptr) << "KVM does the rest";
    EXPECT_THAT(kernel.calls,
                ElementsAre("msr 8c = 11", "msr 8d = 22", "msr 8e = 33", "msr 8f = 44", "msr 3a = 60001"))
        << "locked, with SGX and launch control";
}

TEST_F(HardwareSgxTest, ALaunchHashThatIsLockedIsLocked) {
    configuration.launch_hash_writable = false;
    const auto sgx = make().value();
    auto vcpu = make_vcpu();

    ASSERT_TRUE(sgx->make_vcpu(vcpu, 1));
    EXPECT_EQ(kernel.calls.back(), "msr 3a = 40001");
    kernel.refused = "msr 3a = 40001";
    EXPECT_THAT(sgx->make_vcpu(vcpu, 2).error().to_string(), HasSubstr("IA32_FEATURE_CONTROL"));
}

TEST_F(HardwareSgxTest, AllEpcIsLostAtOnce) {
    const auto sgx = make().value();
    kernel.enclaves = {{.secs = "b", .pages = {"a", "b"}}};
    EXPECT_TRUE(sgx->drop());
    EXPECT_TRUE(kernel.enclaves.empty());

    kernel.enclaves = {{.secs = "b", .pages = {"elsewhere"}}};
    EXPECT_EQ(sgx->drop().error().code(), ErrorCode::Busy) << "and the machine goes on";
}

}  // namespace
}  // namespace alcove::sgx_hardware

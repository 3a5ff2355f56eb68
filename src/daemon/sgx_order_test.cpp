// SPDX-License-Identifier: Apache-2.0
#include "daemon/sgx_order.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/bits.hpp"

namespace alcove::daemon {
namespace {

using testing::HasSubstr;

sgx::Configuration epc_of(uint64_t mib, std::optional<uint64_t> base = {}) {
    sgx::Configuration configuration;
    configuration.epc = {{.size_mib = mib}};
    if (base) configuration.epc[0].base = memory::GuestAddress(*base);
    return configuration;
}

TEST(SgxOrder, EpcLiesOverNothing) {
    EXPECT_TRUE(check_sgx(epc_of(4), 1_GiB));
    EXPECT_TRUE(check_sgx(epc_of(4, 4_GiB), 1_GiB));
    for (const uint64_t base : {512_MiB, 3_GiB, 450_GiB})
        EXPECT_EQ(check_sgx(epc_of(4, base), 1_GiB).error().code(), ErrorCode::MachineConfig) << base;
    EXPECT_THAT(check_sgx(epc_of(4, 4_GiB), 8_GiB).error().to_string(), HasSubstr("over RAM"));
}

TEST(SgxOrder, WhatCanNotBeHadIsSaid) {
    EXPECT_EQ(check_sgx({}, 1_GiB).error().code(), ErrorCode::MachineConfig);
    auto hardware = epc_of(4);
    hardware.backend = sgx::Backend::Hardware;
    EXPECT_THAT(check_sgx(hardware, 1_GiB).error().to_string(), HasSubstr("sgx.key_root must be"));
    auto away = epc_of(4);
    away.on_migrate = sgx::OnMigrate::Carry;
    EXPECT_EQ(check_sgx(away, 1_GiB).error().code(), ErrorCode::Unsupported);
    auto large = epc_of(512 * 1024);
    large.epc.push_back({.size_mib = 1});
    EXPECT_EQ(check_sgx(large, 1_GiB).error().code(), ErrorCode::MachineConfig);
}

TEST(SgxOrder, TellsWhatWasAskedFor) {
    auto configuration = epc_of(3, 8_GiB);
    configuration.epc.push_back({.size_mib = 2, .node = 1});
    configuration.launch_hash = {1, 2, 3, 4};
    configuration.launch_hash_writable = false;
    configuration.provision_key = true;

    const auto order = sgx_order(configuration);

    EXPECT_TRUE(api::is_sgx_of(api::VmRole::Primary, order));
    EXPECT_EQ(order.sections[0].base, 8_GiB);
    EXPECT_EQ(order.sections[1].base, api::EpcSection::kAnywhere);
    EXPECT_EQ(order.sections[1].node, 1U);
    EXPECT_EQ(order.launch_hash[3], 4U);
    EXPECT_EQ(order.flags, api::Sgx::kSgx1 | api::Sgx::kSgx2 | api::Sgx::kProvisionKey);
    EXPECT_EQ(epc_memory(configuration), 6_MiB) << "lent in pieces of 2 MiB";
}

TEST(SgxOrder, EpcWithABudgetIsLentAsFarAsThatGoes) {
    auto configuration = epc_of(64);
    configuration.population = sgx::Population::Oversubscribe;
    configuration.budget_mib = 5;

    EXPECT_TRUE(check_sgx(configuration, 1_GiB));
    EXPECT_EQ(epc_memory(configuration), 6_MiB);
    EXPECT_EQ(sgx_order(configuration).budget_mib, 5U);
    EXPECT_TRUE(api::is_sgx_of(api::VmRole::Primary, sgx_order(configuration)));
}

TEST(SgxOrder, EpcWithABalloonIsLentWholeUntilItsGuestGivesSomeBack) {
    auto configuration = epc_of(64);
    configuration.population = sgx::Population::Balloon;
    configuration.balloon_mib = 16;
    EXPECT_TRUE(check_sgx(configuration, 1_GiB));
    EXPECT_EQ(epc_memory(configuration), 64_MiB);
    EXPECT_EQ(sgx_order(configuration).budget_mib, 64U);
    EXPECT_EQ(sgx_order(configuration).balloon_mib, 16U);
    EXPECT_TRUE(api::is_sgx_of(api::VmRole::Primary, sgx_order(configuration)));

    configuration.budget_mib = 50;  // as a VM that runs has it
    EXPECT_EQ(epc_memory(configuration), 50_MiB);
    EXPECT_EQ(sgx_order(configuration).budget_mib, 50U);
}

TEST(SgxOrder, EpcOfTheProcessorsIsNoMemory) {
    auto configuration = epc_of(3);
    configuration.key_root = sgx::KeyRoot::Host;
    EXPECT_EQ(epc_of_hardware(configuration), 0U);
    configuration.backend = sgx::Backend::Hardware;

    EXPECT_TRUE(check_sgx(configuration, 1_GiB));
    EXPECT_EQ(epc_memory(configuration), 0U);
    EXPECT_EQ(epc_of_hardware(configuration), 3_MiB);
    EXPECT_TRUE(sgx_order(configuration).is_hardware());
    EXPECT_TRUE(api::is_sgx_of(api::VmRole::Primary, sgx_order(configuration)));
}

TEST(SgxOrder, TheRootIsTheVmsByItsName) {
    EXPECT_EQ(sgx_root_owner(sgx::KeyRoot::Vm, "i-1", "dev"), "vm:dev");
    EXPECT_EQ(sgx_root_owner(sgx::KeyRoot::Vm, "i-1", ""), "vm:i-1");
    EXPECT_EQ(sgx_root_owner(sgx::KeyRoot::Host, "i-1", "dev"), "host");
    EXPECT_EQ(sgx_root_owner(sgx::KeyRoot::Ephemeral, "i-1", "dev"), "");
}

}  // namespace
}  // namespace alcove::daemon

// SPDX-License-Identifier: Apache-2.0
#include "vmm/sgx_messages.hpp"

#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::vmm {
namespace {

TEST(SgxMessages, ALaunchWithoutSgxPlansNone) {
    EXPECT_FALSE(sgx_plan_of({}, {}));
}

TEST(SgxMessages, APlanIsWhatTheLaunchSays) {
    api::Sgx sgx;
    sgx.sections[0] = {.base = api::EpcSection::kAnywhere, .size_mib = 4, .node = 0};
    sgx.sections[1] = {.base = 8_GiB, .size_mib = 2, .node = 1};
    sgx.flags = api::Sgx::kSgx1 | api::Sgx::kProvisionKey;
    sgx.launch_hash[3] = 77;
    sgx.root[0] = 9;

    const auto plan = sgx_plan_of(sgx, {});

    ASSERT_TRUE(plan);
    const auto& configuration = plan->configuration;
    ASSERT_EQ(configuration.epc.size(), 2U);
    EXPECT_FALSE(configuration.epc[0].base);
    EXPECT_EQ(configuration.epc[1].base, memory::GuestAddress(8_GiB));
    EXPECT_EQ(configuration.epc[1].node, 1U);
    EXPECT_TRUE(configuration.sgx1);
    EXPECT_FALSE(configuration.sgx2);
    EXPECT_FALSE(configuration.launch_hash_writable);
    EXPECT_TRUE(configuration.provision_key);
    EXPECT_EQ(configuration.launch_hash[3], 77U);
    EXPECT_EQ(plan->root[0], 9);
}

TEST(SgxMessages, EpcWithABudgetIsPlannedWithItsSpillFile) {
    api::Sgx sgx;
    sgx.sections[0] = {.base = api::EpcSection::kAnywhere, .size_mib = 4, .node = 0};
    sgx.budget_mib = 1;

    const auto plan = sgx_plan_of(sgx, sys::memfd("spill").value());

    EXPECT_EQ(plan->configuration.population, sgx::Population::Oversubscribe);
    EXPECT_EQ(plan->configuration.budget_mib, 1U);
    EXPECT_TRUE(plan->spill.is_open());
    sgx.flags = api::Sgx::kBalloon;
    EXPECT_EQ(sgx_plan_of(sgx, {})->configuration.population, sgx::Population::Balloon);
    sgx.budget_mib = 0;
    EXPECT_EQ(sgx_plan_of(sgx, {})->configuration.population, sgx::Population::Static);
}

TEST(SgxMessages, SgxOfTheProcessorsIsPlannedWithItsDevices) {
    api::Sgx sgx;
    sgx.sections[0] = {.base = api::EpcSection::kAnywhere, .size_mib = 4, .node = 0};
    sgx.flags = api::Sgx::kSgx1 | api::Sgx::kHardware | api::Sgx::kProvisionKey;
    std::vector<Fd> epc;
    epc.push_back(sys::memfd("epc").value());

    EXPECT_FALSE(sgx_plan_of(sgx, {}));
    const auto plan = hardware_plan_of(sgx, std::move(epc), sys::memfd("provision").value());

    ASSERT_TRUE(plan);
    EXPECT_TRUE(sgx::check_for_hardware(plan->configuration));
    EXPECT_EQ(plan->configuration.epc.at(0).size_mib, 4U);
    EXPECT_TRUE(plan->configuration.sgx1);
    EXPECT_FALSE(plan->configuration.sgx2);
    EXPECT_TRUE(plan->configuration.provision_key);
    EXPECT_EQ(plan->epc.size(), 1U);
    EXPECT_TRUE(plan->provision.is_open());
    sgx.flags = sgx.flags & ~api::Sgx::kHardware;
    EXPECT_FALSE(hardware_plan_of(sgx, {}, {}));
}

TEST(SgxMessages, AReportOfTheProcessorsHasSectionsAlone) {
    const auto state = sgx_state_of(std::vector{memory::GuestRange{memory::GuestAddress(4_GiB), 2_MiB}});

    ASSERT_EQ(state.sections.size(), 1U);
    EXPECT_EQ(state.sections[0].base, 4_GiB);
    EXPECT_TRUE(state.leaves.empty());
    EXPECT_TRUE(state.enclaves.empty());
}

TEST(SgxMessages, AReportHasTheBudgetAndWhatWentAndCame) {
    const auto state = sgx_state_of({}, 256, {.evictions = 3, .loads = 2, .overdrafts = 1});

    EXPECT_EQ(state.budget_pages, 256U);
    EXPECT_EQ(state.evictions, 3U);
    EXPECT_EQ(state.loads, 2U);
    EXPECT_EQ(state.overdrafts, 1U);
}

TEST(SgxMessages, AReportHasEverythingOfTheEngine) {
    sgx::EngineReport report{.sections = {{memory::GuestAddress(4_GiB), 2_MiB}},
                             .valid_pages = 3,
                             .occupancy = {.resident = 512, .evicted = 4},
                             .asynchronous_exits = 11,
                             .enclaves = {},
                             .leaves = {{.name = "EADD", .completed = 5, .faulted = 6}}};
    sgx::EnclaveReport enclave{};
    enclave.eid = 2;
    enclave.initialized = true;
    enclave.asynchronous_exits = 8;
    enclave.encls[11] = 9;
    enclave.enclu[2] = 6;
    report.enclaves.resize(300, enclave);

    const auto state = sgx_state_of(report);

    EXPECT_EQ(state.enclaves_in_all, 300U);
    ASSERT_EQ(state.enclaves.size(), api::vmm::SgxReport::kMaxEnclaves);
    EXPECT_EQ(state.enclaves[0].flags, api::vmm::SgxEnclaveEntry::kInitialized);
    EXPECT_EQ(state.enclaves[0].asynchronous_exits, 8U);
    EXPECT_EQ(state.asynchronous_exits, 11U);
    EXPECT_EQ(state.enclaves[0].encls[11], 9U);
    EXPECT_EQ(state.enclaves[0].enclu[2], 6U);
    EXPECT_EQ(state.sections[0].size, 2_MiB);
    EXPECT_EQ(state.leaves[0].name.text(), "EADD");
    EXPECT_EQ(state.evicted_pages, 4U);
}

}  // namespace
}  // namespace alcove::vmm

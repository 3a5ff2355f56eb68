// SPDX-License-Identifier: Apache-2.0
#include "broker/launch_plan.hpp"

#include <gtest/gtest.h>

#include "broker/fake_cgroups.hpp"

namespace alcove::broker {
namespace {

using api::broker::Launch;

TEST(LaunchPlan, ARequestInOrderIsAPlan) {
    const auto plan = plan_launch(good_launch(), two_cores);

    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_EQ(plan->id.text(), "vm-1");
    EXPECT_EQ(plan->module_id, "i-1234-enc5678");
    EXPECT_EQ(plan->vmm_uid(), 60007U);
    EXPECT_TRUE(plan->dedicated());
    EXPECT_FALSE(plan->debug());
    EXPECT_GT(plan->memory_limit(), 64_MiB);
}

TEST(LaunchPlan, APrimaryVmIsAPlan) {
    const auto plan = plan_launch(good_primary_launch(), two_cores);

    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_TRUE(plan->primary());
    EXPECT_EQ(plan->module_id, "");
}

TEST(LaunchPlan, APrimaryVmThatCarvesIsAPlan) {
    auto launch = good_primary_launch();
    launch.flags = Launch::kDedicated | Launch::kEnclaves;

    const auto plan = plan_launch(launch, two_cores);

    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_TRUE(plan->enclaves());
}

TEST(LaunchPlan, ACarvedEnclaveHasRoomForMemoryAndItsImage) {
    const auto plan = plan_launch(good_carved_launch(), two_cores);

    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_TRUE(plan->carved());
    EXPECT_FALSE(plan->dedicated());
    EXPECT_GT(plan->memory_limit(), 2 * 64_MiB) << "the image may be as large as the memory it comes out of";
    EXPECT_GT(plan->process_limit(), api::kMaxVcpus);
}

TEST(LaunchPlan, EpcIsMemoryOfTheVmsGroup) {
    const auto without = plan_launch(good_primary_launch(0), two_cores);

    const auto plan = plan_launch(good_sgx_launch(), two_cores);

    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_TRUE(plan->sgx());
    EXPECT_FALSE(without->sgx());
    EXPECT_GT(plan->memory_limit(), without->memory_limit() + 4_MiB);
}

TEST(LaunchPlan, EpcWithABudgetIsMemoryAsFarAsThatGoes) {
    auto all = good_sgx_launch();
    all.sgx.sections[0].size_mib = 1024;
    auto some = all;
    some.sgx.budget_mib = 256;

    const auto large = plan_launch(all, two_cores);
    const auto small = plan_launch(some, two_cores);

    ASSERT_TRUE(large && small);
    EXPECT_TRUE(small->spills());
    EXPECT_FALSE(large->spills());
    EXPECT_LT(small->memory_limit() + 700_MiB, large->memory_limit());
    EXPECT_GT(small->memory_limit(),
              plan_launch(good_primary_launch(0), two_cores)->memory_limit() + 256_MiB);
}

TEST(LaunchPlan, EpcOfTheProcessorsIsNoMemoryAndHasNoSecret) {
    const auto plan = plan_launch(good_hardware_sgx_launch(), two_cores);

    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_FALSE(plan->sgx());
    EXPECT_EQ(plan->memory_limit(), plan_launch(good_primary_launch(0), two_cores)->memory_limit());
}

TEST(LaunchPlan, TheSgxOfALaunchIsChecked) {
    const std::pair<const char*, std::function<void(Launch&)>> spoilers[] = {
        {"a secret", [](Launch& launch) { launch.sgx.root[0] = 1; }},
        {"flags", [](Launch& launch) { launch.sgx.flags = 64; }},
        {"a budget of hardware",
         [](Launch& launch) {
             launch.sgx.flags = launch.sgx.flags | api::Sgx::kHardware;
             launch.sgx.budget_mib = 1;
         }},
        {"a budget above the EPC", [](Launch& launch) { launch.sgx.budget_mib = 5; }},
        {"no printable owner", [](Launch& launch) { launch.sgx_root_owner = api::TextField<80>::of("a b"); }},
        {"an owner of nothing", [](Launch& launch) { launch.sgx = {}; }},
    };
    for (const auto& [name, spoil] : spoilers) {
        auto launch = good_sgx_launch();
        spoil(launch);
        EXPECT_FALSE(plan_launch(launch, two_cores)) << name;
    }
    auto enclave = good_launch();
    enclave.sgx = good_sgx_launch().sgx;
    EXPECT_FALSE(plan_launch(enclave, two_cores)) << "of an enclave";
}

TEST(LaunchPlan, ThereIsRoomForWhatWaitsForEachPeerInAFabric) {
    auto launch = good_primary_launch();
    const auto alone = plan_launch(launch, two_cores);
    launch.flags = Launch::kDedicated | Launch::kEnclaves;

    const auto carving = plan_launch(launch, two_cores);

    ASSERT_TRUE(alone && carving);
    EXPECT_EQ(alone->fabric_peers(), 0U);
    EXPECT_EQ(carving->memory_limit(), alone->memory_limit() + api::ne::kMaxEnclaves * 32_MiB);
    EXPECT_EQ(plan_launch(good_carved_launch(), two_cores)->fabric_peers(), 1U);
}

TEST(LaunchPlan, WhatACarvedEnclaveIsToldLaterIsNotSaidAtItsLaunch) {
    const std::pair<const char*, std::function<void(Launch&)>> spoilers[] = {
        {"debug", [](Launch& launch) { launch.flags = launch.flags | Launch::kDebug; }},
        {"dedicated", [](Launch& launch) { launch.flags = launch.flags | Launch::kDedicated; }},
        {"vCPUs", [](Launch& launch) { launch.vcpu_count = 1; }},
        {"threads", [](Launch& launch) { launch.threads_per_core = 1; }},
        {"image", [](Launch& launch) { launch.image_size = 1000; }},
        {"CID", [](Launch& launch) { launch.guest_cid = 16; }},
        {"memory", [](Launch& launch) { launch.memory_bytes = 64_MiB + 1; }},
        {"no CPU", [](Launch& launch) { launch.host_cpus = {}; }},
        {"disk", [](Launch& launch) { launch.disk_count = 1; }},
        {"no module id", [](Launch& launch) { launch.module_id = {}; }},
        {"role", [](Launch& launch) { launch = good_primary_launch(), launch.flags = Launch::kCarved; }},
    };
    for (const auto& [name, spoil] : spoilers) {
        auto launch = good_carved_launch();
        spoil(launch);

        const auto plan = plan_launch(launch, two_cores);

        ASSERT_FALSE(plan) << name;
        EXPECT_EQ(plan.error().code(), ErrorCode::InvalidArgument) << name;
    }
}

TEST(LaunchPlan, EveryFieldOutOfRangeIsRefused) {
    const std::pair<const char*, std::function<void(Launch&)>> spoilers[] = {
        {"flags", [](Launch& launch) { launch.flags = 32; }},
        {"an enclave that carves", [](Launch& launch) { launch.flags = Launch::kEnclaves; }},
        {"no threads", [](Launch& launch) { launch.threads_per_core = 0; }},
        {"too many threads", [](Launch& launch) { launch.threads_per_core = 3; }},
        {"half a core of vCPUs", [](Launch& launch) { launch.vcpu_count = 1; }},
        {"no vCPU", [](Launch& launch) { launch.vcpu_count = 0; }},
        {"too many vCPUs", [](Launch& launch) { launch.vcpu_count = 33; }},
        {"page size", [](Launch& launch) { launch.page_size = 0; }},
        {"no memory", [](Launch& launch) { launch.memory_bytes = 0; }},
        {"odd memory", [](Launch& launch) { launch.memory_bytes = 64_MiB + 1; }},
        {"half a huge page",
         [](Launch& launch) { launch.page_size = api::kHugePage, launch.memory_bytes = 65_MiB; }},
        {"all memory there is", [](Launch& launch) { launch.memory_bytes = ~uint64_t{0} << 12; }},
        {"slot", [](Launch& launch) { launch.vmm_slot = 1000; }},
        {"slot that would be root", [](Launch& launch) { launch.vmm_slot = uint32_t{0} - 60000; }},
        {"no image", [](Launch& launch) { launch.image_size = 0; }},
        {"image size", [](Launch& launch) { launch.image_size = api::kMaxImageBytes + 1; }},
        {"CID of the host", [](Launch& launch) { launch.guest_cid = 2; }},
        {"any CID", [](Launch& launch) { launch.guest_cid = 0xffffffff; }},
        {"no CPU", [](Launch& launch) { launch.host_cpus = {}; }},
        {"no such CPU", [](Launch& launch) { launch.host_cpus.add(4); }},
        {"half a core", [](Launch& launch) { launch.host_cpus.add(0); }},
        {"no module id", [](Launch& launch) { launch.module_id = {}; }},
        {"module id with a space", [](Launch& launch) { launch.module_id = api::TextField<128>::of("a b"); }},
        {"module id with a line end",
         [](Launch& launch) { launch.module_id = api::TextField<128>::of("a\n"); }},
        {"role", [](Launch& launch) { launch.role = 2; }},
        {"an enclave's disk", [](Launch& launch) { launch.disk_count = 1; }},
        {"an enclave's network",
         [](Launch& launch) { launch.networks[0] = {.mac = {2}, .kind = 1, .reserved = 0}; }},
        {"a primary VM with another CID",
         [](Launch& launch) { launch = good_primary_launch(), launch.guest_cid = 4; }},
        {"a primary VM with a module id",
         [](Launch& launch) {
             launch = good_primary_launch(), launch.module_id = api::TextField<128>::of("i-1");
         }},
        {"a primary VM in debug mode",
         [](Launch& launch) { launch = good_primary_launch(), launch.flags = Launch::kDebug; }},
        {"too many disks",
         [](Launch& launch) { launch = good_primary_launch(), launch.disk_count = api::kMaxDisks + 1; }},
    };
    for (const auto& [name, spoil] : spoilers) {
        auto launch = good_launch();
        spoil(launch);

        const auto plan = plan_launch(launch, two_cores);

        ASSERT_FALSE(plan) << name;
        EXPECT_EQ(plan.error().code(), ErrorCode::InvalidArgument) << name;
    }
}

TEST(LaunchPlan, AnIdThatCouldBeAPathIsRefused) {
    for (const char* text : {"", "..", "a/b", "/", "A"}) {
        auto launch = good_launch();
        launch.vm_id = api::VmId::Field::of(text);

        EXPECT_FALSE(plan_launch(launch, two_cores)) << text;
    }
}

TEST(CorePlan, OtherCoresAreCheckedAsThoseOfALaunch) {
    const auto plan = plan_cores(assignment({0, 1}), two_cores);
    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_TRUE(plan->dedicated);
    EXPECT_EQ(plan->host_cpus.to_list(), "0,1");

    EXPECT_TRUE(plan_cores(assignment({1}, 0), two_cores));
    EXPECT_FALSE(plan_cores(assignment({1}), two_cores)) << "half a core";
    EXPECT_FALSE(plan_cores(assignment({}), two_cores));
    EXPECT_FALSE(plan_cores(assignment({4, 5}), two_cores));
    EXPECT_FALSE(plan_cores(assignment({0, 1}, Launch::kDebug), two_cores));
}

TEST(LaunchPlan, SharedCpusNeedNotBeWholeCores) {
    auto launch = good_launch();
    launch.flags = 0;
    launch.host_cpus = {};
    launch.host_cpus.add(1);

    EXPECT_TRUE(plan_launch(launch, two_cores));
}

}  // namespace
}  // namespace alcove::broker

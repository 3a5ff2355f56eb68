// SPDX-License-Identifier: Apache-2.0
//
// A primary VM's NE commands through the daemon: the test speaks as its VMM does.
#include <gmock/gmock.h>

#include "daemon/carving_fixture_test.hpp"

namespace alcove::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(CarvingTest, ThePrimaryIsToldItsShapeAndTheEnclaveNothingYet) {
    prepare();

    const auto launches = host_.launches();
    ASSERT_EQ(launches.size(), 2U);
    EXPECT_EQ(launches[0].flags, api::broker::Launch::kDedicated | api::broker::Launch::kEnclaves);
    EXPECT_EQ(launches[0].threads_per_core, 2U);
    EXPECT_EQ(launches[1].flags, api::broker::Launch::kCarved);
    EXPECT_EQ(launches[1].module_id.text(), enclave_);
    EXPECT_EQ(launches[1].host_cpus.to_list(), "0,1");
    EXPECT_EQ(launches[1].memory_bytes, 512_MiB);
    EXPECT_NE(launches[1].pcr4, PcrValue{});
}

TEST_F(CarvingTest, WhatAnEnclaveHoldsPassesFromThePrimaryAndBack) {
    const auto whole = supervisor_->grant(primary_).value();
    run_enclave();

    EXPECT_EQ(supervisor_->grant(enclave_)->memory_bytes(), 128_MiB);
    EXPECT_EQ(supervisor_->grant(enclave_)->cpus, (std::vector<host::CpuId>{{4}, {5}}));
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 384_MiB);
    EXPECT_EQ(supervisor_->grant(primary_)->cpus, (std::vector<host::CpuId>{{2}, {3}}));

    EXPECT_EQ(rc(ne::EnclaveStop{.slot_uid = slot_}), 0);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);

    EXPECT_EQ(supervisor_->grant(primary_), whole);
    EXPECT_EQ(record(enclave_).state, VmState::Stopped);
    EXPECT_THAT(host_.orders(),
                ElementsAre("add " + enclave_ + " 256+128 at 0", "cores " + primary_ + " 2,3",
                            "cores " + enclave_ + " 4,5", "begin " + enclave_ + " with 2 vCPUs, 2 a core",
                            "join " + enclave_ + " with 3", "join " + primary_ + " with 16",
                            "leave " + primary_ + " and 16", "give back " + enclave_,
                            "cores " + primary_ + " 2,3,4,5"));
}

TEST_F(CarvingTest, AnEnclaveThatEndsIsToldAndKeepsItsMemoryUntilItIsFreed) {
    run_enclave();

    host_.end(enclave_, api::StopReason::I8042Reset);

    const auto message = received();
    const auto changed = api::decode<messages::SlotChanged>(api::open_envelope(message).value());
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->slot_uid, slot_);
    EXPECT_EQ(record(enclave_).state, VmState::Stopping);
    EXPECT_EQ(record(enclave_).reason, "i8042_reset");
    EXPECT_EQ(supervisor_->grant(enclave_)->memory_bytes(), 128_MiB);

    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(record(enclave_).state, VmState::Stopped);
    EXPECT_EQ(record(enclave_).reason, "i8042_reset");
}

TEST_F(CarvingTest, APrimaryHasTheConsoleOfADebugEnclaveOnly) {
    run_enclave(ne::EnclaveStart::DEBUG_MODE);

    EXPECT_THAT(host_.orders(), testing::Contains("join " + primary_ + " with 16, console"));
}

TEST_F(CarvingTest, ABadImageIsAnEventNotAnError) {
    host_.set_script(FakeHost::Script::Fail);
    prepare();

    EXPECT_EQ(rc(ne::EnclaveStart{.slot_uid = slot_, .enclave_cid = 0, .flags = 0}), 0);

    const auto message = received();
    EXPECT_EQ(api::open_envelope(message)->type, messages::SlotChanged::kType);
    EXPECT_EQ(record(enclave_).error->code, ErrorCode::ImageCrc);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(record(enclave_).state, VmState::Failed);
}

TEST_F(CarvingTest, AGiveBackThatFindsNoMemoryIsTriedAgain) {
    run_enclave();
    host_.refuse_give_backs(enclave_, 1);

    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);

    const auto orders = host_.orders();
    EXPECT_EQ(std::count(orders.begin(), orders.end(), "give back " + enclave_), 2);
}

TEST_F(CarvingTest, ALaunchThatTheBrokerRefusesIsAnErrorOfTheFirstRegion) {
    host_.refuse_launches(Error(ErrorCode::KvmMissing, "none"));
    slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;

    EXPECT_LT(rc(ne::SlotAddMem{.slot_uid = slot_, .paddr = 256_MiB, .size = 128_MiB}), 0);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 512_MiB);
}

TEST_F(CarvingTest, ABrokerThatIsAwayIsWaitedFor) {
    host_.close_broker();
    slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
    send(ne::SlotAddMem{.slot_uid = slot_, .paddr = 256_MiB, .size = 128_MiB});
    run_for(milliseconds(100));
    host_.open_broker();
    EXPECT_EQ(ne::rc_of(reply()), 0);
    for (const uint32_t vcpu : {2U, 3U})
        ASSERT_EQ(rc(ne::SlotAddVcpu{.slot_uid = slot_, .vcpu_id = vcpu, .padding = {}}), 0);

    host_.close_broker();
    run_for(milliseconds(20));
    send(ne::EnclaveStart{.slot_uid = slot_, .enclave_cid = 0, .flags = 0});
    run_for(milliseconds(100));
    host_.open_broker();

    EXPECT_EQ(ne::rc_of(reply()), 0);
}

TEST_F(CarvingTest, ASlotThatIsFreedWhileItsShimIsLaunchedIsGone) {
    host_.hold_launches(true);
    slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
    EXPECT_EQ(rc(ne::SlotAddVcpu{.slot_uid = slot_, .vcpu_id = 2, .padding = {}}), 0) << "needs no shim";
    send(ne::SlotFree{.slot_uid = slot_});
    run_for(milliseconds(50));
    host_.hold_launches(false);

    EXPECT_EQ(ne::rc_of(reply()), 0);
    EXPECT_EQ(host_.present(), std::vector{primary_});
}

TEST_F(CarvingTest, AReleaseFreesEverything) {
    run_enclave();
    ASSERT_TRUE(vmm_->send(api::encode(messages::ReleaseAll{.request = 5, .reserved = {}})));

    const auto message = received();

    EXPECT_EQ(api::open_envelope(message)->type, messages::Released::kType);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 512_MiB);
    EXPECT_EQ(host_.present(), std::vector{primary_});
}

TEST_F(CarvingTest, ALifeThatEndedWithoutAWordLeavesNoEnclaveBehind) {
    run_enclave();
    host_.reset(primary_);
    number_ = 0;

    connect(1);

    EXPECT_EQ(ask(ne::SlotCount{.unused = 0}).slot_count, 0U);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 512_MiB);
}

TEST_F(CarvingTest, AnEnclaveEndsWithItsPrimary) {
    run_enclave();

    host_.end(primary_, api::StopReason::PowerOff);

    EXPECT_TRUE(until([&] { return record(primary_).state == VmState::Stopped; }));
    EXPECT_TRUE(until_state(enclave_, VmState::Stopped));
    EXPECT_TRUE(ledger_->grants().empty());
    EXPECT_TRUE(host_.present().empty());
}

TEST_F(CarvingTest, EverythingIsTakenUpAfterARestart) {
    run_enclave();
    restart();
    connect(0);

    // What was answered before is answered likewise.
    --number_;
    EXPECT_EQ(ask(ne::EnclaveStart{.slot_uid = slot_, .enclave_cid = 0, .flags = 0}).enclave_cid, 16U);
    EXPECT_EQ(supervisor_->grant(enclave_)->memory_bytes(), 128_MiB);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 512_MiB);
    EXPECT_EQ(record(enclave_).state, VmState::Stopped);
}

TEST_F(CarvingTest, AShimThatIsLostGivesNothingBackButIsFreed) {
    run_enclave();
    host_.kill_shim(enclave_);

    const auto message = received();
    EXPECT_EQ(api::open_envelope(message)->type, messages::SlotChanged::kType);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 512_MiB);
}

TEST_F(CarvingTest, ContextIdsOfAnotherFabricAreFree) {
    run_enclave();
    auto launch = request();
    launch.cid = 16;
    launch.vcpus = 1;

    const auto launched = supervisor_->launch(std::move(launch));

    // There is no core left, which is looked for behind the context id.
    EXPECT_THAT(launched.error().to_string(), HasSubstr("cores"));
}

TEST_F(CarvingTest, AnEnclaveOnSharedCpusTakesNoCores) {
    const auto whole = supervisor_->grant(primary_).value();
    const auto set = supervisor_->set_enclave_policy(primary_, host::CpuPolicy::Shared);
    ASSERT_TRUE(set) << set.error().to_string();
    run_enclave();

    EXPECT_EQ(supervisor_->grant(primary_)->cpus, whole.cpus);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 384_MiB);
    EXPECT_EQ(record(enclave_).policy, host::CpuPolicy::Shared);
    EXPECT_THAT(host_.orders(), testing::Contains("cores " + enclave_ + " 0,1 shared"));
    EXPECT_THAT(host_.orders(), testing::Contains("begin " + enclave_ + " with 2 vCPUs, 1 a core"));

    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(supervisor_->grant(primary_), whole);
}

TEST_F(CarvingTest, ThePolicyOfEnclavesIsKeptAndRefusedWhereItCanNotBeHad) {
    ASSERT_TRUE(supervisor_->set_enclave_policy(primary_, host::CpuPolicy::Shared));
    restart();
    EXPECT_EQ(record(primary_).enclave_policy, host::CpuPolicy::Shared);

    capacity_.shared_policy_safe = false;
    restart();

    EXPECT_EQ(supervisor_->set_enclave_policy(primary_, host::CpuPolicy::Shared).error().code(),
              ErrorCode::Unsupported);
    EXPECT_TRUE(supervisor_->set_enclave_policy(primary_, host::CpuPolicy::Dedicated));
    EXPECT_FALSE(supervisor_->set_enclave_policy("i-0", host::CpuPolicy::Dedicated));
}

TEST_F(CarvingTest, NonsenseOnTheLineEndsThePrimary) {
    ASSERT_TRUE(vmm_->send(api::encode(messages::Released{.request = 1, .reserved = {}})));

    EXPECT_TRUE(until([&] { return record(primary_).state == VmState::Stopped; }));
}

TEST_F(CarvingTest, WhetherCoresAreExclusiveIsKnownAnewWhenTheyChange) {
    host_.set_core_note("another partition");
    run_enclave();
    EXPECT_EQ(record(enclave_).core_note, "another partition");
    EXPECT_EQ(record(primary_).core_note, "another partition");

    host_.set_core_note("");
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);

    EXPECT_TRUE(until([&] { return record(primary_).core_note.empty(); }));
    EXPECT_EQ(record(enclave_).core_note, "another partition") << "as long as it ran";
}

}  // namespace
}  // namespace alcove::daemon

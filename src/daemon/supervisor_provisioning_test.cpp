// SPDX-License-Identifier: Apache-2.0
//
// Enclaves that start with a primary VM.
#include <gmock/gmock.h>

#include "crypto/digest.hpp"
#include "daemon/supervisor_fixture_test.hpp"

namespace alcove::daemon {
namespace {

using testing::Contains;
using testing::HasSubstr;

class ProvisioningTest : public SupervisorTest {
  protected:
    // A VM of four vCPUs and 512 MiB, enclaves included.
    LaunchRequest vm_with(size_t enclaves) {
        auto launch = request("dev", 4);
        launch.role = api::VmRole::Primary;
        launch.memory_bytes = 512_MiB;
        launch.enclaves = true;
        for (size_t i = 0; i < enclaves; ++i) {
            auto enclave = request("", 2);
            enclave.memory_bytes = 128_MiB;
            launch.provisioned.push_back(std::move(enclave));
        }
        return launch;
    }
    void launch() {
        primary_ = supervisor_->launch(vm_with(1)).value().id;
        for (const auto& one : supervisor_->list())
            if (one.parent == primary_) enclave_ = one.id;
        EXPECT_TRUE(
            until([&] { return primary().state == VmState::Running && supervisor_->find(enclave_)->ready; }));
        EXPECT_TRUE(until([&] { return joins() == 2; }));
    }
    VmRecord primary() { return supervisor_->find(primary_, api::VmRole::Primary).value(); }
    long joins() {
        const auto orders = host_.orders();
        return std::ranges::count_if(orders, [](const auto& order) { return order.starts_with("join"); });
    }
    Error refused(LaunchRequest launch) { return supervisor_->launch(std::move(launch)).error(); }

    std::string primary_;
    std::string enclave_;
};

TEST_F(ProvisioningTest, AnEnclaveStartsWithItsVmOutOfItsShare) {
    launch();

    const auto launches = host_.launches();
    ASSERT_EQ(launches.size(), 2U);
    EXPECT_EQ(launches[0].vcpu_count, 2U);
    EXPECT_EQ(launches[0].memory_bytes, 384_MiB);
    EXPECT_EQ(launches[0].host_cpus.to_list(), "2,3");
    EXPECT_EQ(launches[1].flags, api::broker::Launch::kDedicated | api::broker::Launch::kProvisioned);
    EXPECT_EQ(launches[1].vcpu_count, 2U);
    EXPECT_EQ(launches[1].memory_bytes, 128_MiB);
    EXPECT_EQ(launches[1].host_cpus.to_list(), "4,5");
    EXPECT_EQ(launches[1].guest_cid, 16U);
    const PcrValue zero{};
    EXPECT_EQ(launches[1].pcr4, crypto::sha384({zero, as_byte_view(primary_)}));
    EXPECT_THAT(enclave_, testing::StartsWith(primary_ + "-enc"));
    EXPECT_THAT(host_.orders(), testing::UnorderedElementsAre("join " + enclave_ + " with 3",
                                                              "join " + primary_ + " with 16"));
}

TEST_F(ProvisioningTest, ItEndsWithItsVm) {
    launch();

    host_.end(primary_, api::StopReason::PowerOff);

    EXPECT_TRUE(until([&] { return ledger_->grants().empty() && host_.present().empty(); }));
    EXPECT_EQ(supervisor_->find(enclave_)->state, VmState::Stopped);
}

TEST_F(ProvisioningTest, WhatItHadIsItsVmsWhenItEnds) {
    launch();

    host_.end(enclave_, api::StopReason::I8042Reset);

    EXPECT_TRUE(until_state(enclave_, VmState::Stopped));
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 512_MiB);
    EXPECT_EQ(supervisor_->grant(primary_)->cpus.size(), 4U);
    EXPECT_THAT(host_.orders(), Contains("leave " + primary_ + " and 16"));
    EXPECT_EQ(primary().state, VmState::Running);
}

TEST_F(ProvisioningTest, TheNextLifeOfItsVmIsJoinedAnew) {
    launch();

    host_.reset(primary_);

    EXPECT_TRUE(until([&] { return joins() == 4; }));
    EXPECT_EQ(supervisor_->find(enclave_)->state, VmState::Running);
}

TEST_F(ProvisioningTest, AlcovedThatComesBackJoinsNobodyTwice) {
    launch();
    restart();
    EXPECT_TRUE(until([&] { return host_.attaches(enclave_) == 2 && host_.attaches(primary_) == 2; }));
    run_for(milliseconds(50));

    EXPECT_EQ(joins(), 2);
    EXPECT_EQ(supervisor_->grant(enclave_)->memory_bytes(), 128_MiB);
    EXPECT_EQ(supervisor_->find(enclave_)->parent, primary_);
}

TEST_F(ProvisioningTest, AlcovedThatComesBackBeforeTheyRanJoinsThemAnew) {
    host_.set_script(FakeHost::Script::Hold);
    primary_ = supervisor_->launch(vm_with(1)).value().id;
    for (const auto& one : supervisor_->list())
        if (one.parent == primary_) enclave_ = one.id;
    EXPECT_TRUE(until([&] { return host_.attaches(enclave_) == 1 && host_.attaches(primary_) == 1; }));
    EXPECT_TRUE(until([&] { return joins() == 2; }));
    restart();
    EXPECT_TRUE(until([&] { return host_.attaches(enclave_) == 2 && host_.attaches(primary_) == 2; }));

    host_.set_phase(primary_, api::shim::Phase::Running);
    host_.set_phase(enclave_, api::shim::Phase::Ready);

    EXPECT_TRUE(until([&] { return supervisor_->find(enclave_)->ready; }));
    EXPECT_TRUE(until([&] { return joins() == 4; }));
}

TEST_F(ProvisioningTest, OneWhoseVmEndedWhileAlcovedWasAwayEnds) {
    launch();
    stop_daemon();
    host_.end(primary_, api::StopReason::PowerOff);
    start();

    EXPECT_TRUE(until([&] { return ledger_->grants().empty() && host_.present().empty(); }));
    EXPECT_EQ(supervisor_->find(enclave_)->state, VmState::Stopped);
}

TEST_F(ProvisioningTest, OneThatDoesNotLaunchLeavesItsVmAlone) {
    host_.set_script(FakeHost::Script::FailEnclaves);
    auto request = vm_with(1);
    request.provisioned[0].name = "web";

    supervisor_->launch(std::move(request)).value();

    EXPECT_TRUE(until_state("web", VmState::Failed));
    EXPECT_TRUE(
        until([&] { return supervisor_->find("dev", api::VmRole::Primary)->state == VmState::Running; }));
    EXPECT_EQ(supervisor_->grant(supervisor_->find("dev", api::VmRole::Primary)->id)->memory_bytes(),
              512_MiB);
}

TEST_F(ProvisioningTest, WhatDoesNotFitIsRefusedBeforeAnythingStarts) {
    auto memory = vm_with(1);
    memory.provisioned[0].memory_bytes = 512_MiB;
    EXPECT_THAT(refused(std::move(memory)).to_string(), HasSubstr("not enough"));
    EXPECT_THAT(refused(vm_with(2)).to_string(), HasSubstr("not enough"));
    EXPECT_THAT(refused(vm_with(5)).to_string(), HasSubstr("at most 4"));
    auto same_cid = vm_with(2);
    same_cid.provisioned[0].vcpus = same_cid.provisioned[1].vcpus = 1;
    same_cid.provisioned[0].cid = same_cid.provisioned[1].cid = 20;
    EXPECT_THAT(refused(std::move(same_cid)).to_string(), HasSubstr("one context id"));
    auto same_name = vm_with(1);
    same_name.provisioned[0].name = "dev";
    EXPECT_EQ(refused(std::move(same_name)).code(), ErrorCode::EnclaveNameTaken);
    auto of_an_enclave = request();
    of_an_enclave.provisioned.push_back(request());
    EXPECT_THAT(refused(std::move(of_an_enclave)).to_string(), HasSubstr("only a primary VM"));

    EXPECT_TRUE(host_.launches().empty());
    EXPECT_TRUE(ledger_->grants().empty());
}

TEST_F(ProvisioningTest, WholeCoresOfEnclavesLeaveEnoughForTheVm) {
    auto launch = vm_with(1);
    launch.provisioned[0].vcpus =
        1;  // which takes a core of two threads, and three vCPUs are left for the other

    EXPECT_EQ(refused(std::move(launch)).code(), ErrorCode::NoFreeCores);
    EXPECT_TRUE(ledger_->grants().empty());
}

}  // namespace
}  // namespace alcove::daemon

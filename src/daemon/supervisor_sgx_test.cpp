// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor_fixture_test.hpp"

namespace alcove::daemon {
namespace {

LaunchRequest plain_primary(LaunchRequest request) {
    request.role = api::VmRole::Primary;
    return request;
}

LaunchRequest with_epc(LaunchRequest request, uint64_t mib) {
    request.role = api::VmRole::Primary;
    request.sgx = sgx::Configuration{};
    request.sgx->epc = {{.size_mib = mib}};
    return request;
}

TEST_F(SupervisorTest, EpcIsLentBesideMemoryAndOrderedWithTheVm) {
    const auto record = supervisor_->launch(with_epc(request("dev"), 3)).value();

    ASSERT_TRUE(until([&] { return !host_.launches().empty(); }));
    const auto order = host_.launches().at(0);
    EXPECT_EQ(order.sgx.sections[0].size_mib, 3U);
    EXPECT_EQ(order.sgx.root, api::SgxRootSecret{}) << "which alcoved never has";
    EXPECT_EQ(order.sgx_root_owner.text(), "vm:dev");
    EXPECT_EQ(supervisor_->grant(record.id)->epc_bytes(), 4_MiB) << "in pieces of 2 MiB";

    ASSERT_TRUE(
        until([&] { return supervisor_->find("dev", api::VmRole::Primary)->state == VmState::Running; }));
    restart();
    EXPECT_EQ(supervisor_->grant(record.id)->epc_bytes(), 4_MiB);
    EXPECT_EQ(supervisor_->find("dev", api::VmRole::Primary)->sgx, record.sgx);
}

TEST_F(SupervisorTest, WhatIsNoSgxOrTooMuchOfItLeavesNothing) {
    auto over_ram = with_epc(request("dev"), 4);
    over_ram.sgx->epc[0].base = memory::GuestAddress(0);
    EXPECT_EQ(supervisor_->launch(std::move(over_ram)).error().code(), ErrorCode::MachineConfig);
    EXPECT_EQ(supervisor_->launch(with_epc(request("dev"), 2048)).error().code(), ErrorCode::NoFreeMemory);
    auto enclave = with_epc(request("dev"), 4);
    enclave.role = api::VmRole::Enclave;
    EXPECT_EQ(supervisor_->launch(std::move(enclave)).error().code(), ErrorCode::InvalidArgument);

    EXPECT_TRUE(supervisor_->launch(with_epc(request("dev"), 4)));
}

TEST_F(SupervisorTest, TheSgxOfAVmIsAskedForAndLost) {
    const auto id = supervisor_->launch(with_epc(request("dev"), 4)).value().id;
    const auto plain = supervisor_->launch(plain_primary(request("plain"))).value().id;
    ASSERT_TRUE(
        until([&] { return supervisor_->find("dev", api::VmRole::Primary)->state == VmState::Running; }));
    const auto valid_pages = [&](api::vmm::SgxAction action) {
        std::optional<uint32_t> pages;
        supervisor_->sgx(id, action, [&](Result<api::vmm::SgxState> state) { pages = state->valid_pages; });
        until([&] { return pages.has_value(); });
        return pages;
    };

    EXPECT_EQ(valid_pages(api::vmm::SgxAction::Report), 7U);
    EXPECT_EQ(valid_pages(api::vmm::SgxAction::Drop), 0U);

    EXPECT_EQ(host_.orders(), std::vector<std::string>{"drop the EPC of " + id});
    std::optional<ErrorCode> refused;
    supervisor_->sgx(plain, api::vmm::SgxAction::Report,
                     [&](const Result<api::vmm::SgxState>& state) { refused = state.error().code(); });
    EXPECT_EQ(refused, ErrorCode::InvalidArgument);
}

class HardwareEpcTest : public SupervisorTest {
  protected:
    HardwareEpcTest() {
        config_.sgx = {
            .present = true, .sgx1 = true, .sgx2 = true, .launch_control = true, .virtual_epc_device = true};
        capacity_.nodes[0].hardware_epc_bytes = 8_MiB;
        restart();
    }
    LaunchRequest wanted(const std::string& name, sgx::Backend backend, uint64_t mib) {
        auto launch = with_epc(request(name), mib);
        launch.sgx->backend = backend;
        launch.sgx->key_root = sgx::KeyRoot::Host;
        return launch;
    }
};

TEST_F(HardwareEpcTest, IsLentAsWhatItIsAndOrderedWithoutASecret) {
    const auto record = supervisor_->launch(wanted("dev", sgx::Backend::Hardware, 5)).value();

    ASSERT_TRUE(until([&] { return !host_.launches().empty(); }));
    const auto order = host_.launches().at(0);
    EXPECT_TRUE(order.sgx.is_hardware());
    EXPECT_EQ(order.sgx_root_owner.text(), "") << "the keys are the processor's";
    EXPECT_EQ(supervisor_->grant(record.id)->epc_bytes(), 0U);
    EXPECT_EQ(supervisor_->grant(record.id)->hardware_epc_bytes(), 5_MiB);
    EXPECT_EQ(ledger_->account().at(0).lines.back().hardware_epc_bytes, 3_MiB);
    EXPECT_EQ(supervisor_->launch(wanted("more", sgx::Backend::Hardware, 4)).error().code(),
              ErrorCode::NoFreeEpc);

    ASSERT_TRUE(
        until([&] { return supervisor_->find("dev", api::VmRole::Primary)->state == VmState::Running; }));
    restart();
    EXPECT_EQ(supervisor_->grant(record.id)->hardware_epc_bytes(), 5_MiB);
    supervisor_->stop("dev", milliseconds(100)).value();
    ASSERT_TRUE(until([&] { return ledger_->free_hardware_epc_bytes() == 8_MiB; }));
}

TEST_F(HardwareEpcTest, AutoGoesToSoftwareWhenItIsLent) {
    const auto backend_of = [&](const std::string& name) {
        return supervisor_->launch(wanted(name, sgx::Backend::Auto, 5)).value().sgx->backend;
    };
    EXPECT_EQ(backend_of("first"), sgx::Backend::Hardware);
    EXPECT_EQ(backend_of("second"), sgx::Backend::Software);
}

TEST_F(SupervisorTest, HardwareThatIsNotThereIsRefusedAndLeavesNothing) {
    auto launch = with_epc(request("dev"), 4);
    launch.sgx->backend = sgx::Backend::Hardware;
    launch.sgx->key_root = sgx::KeyRoot::Host;
    EXPECT_EQ(supervisor_->launch(std::move(launch)).error().code(), ErrorCode::Unsupported);
    EXPECT_TRUE(ledger_->grants().empty());
    EXPECT_EQ(supervisor_->launch(with_epc(request("dev"), 4)).value().sgx->backend, sgx::Backend::Software);
}

// A VM with EPC whose memory changes while it runs.
class ChangingEpcTest : public SupervisorTest {
  protected:
    using Setter = void (Supervisor::*)(const std::string&, uint64_t, Supervisor::Answer<api::vmm::SgxState>);
    explicit ChangingEpcTest(Setter setter) : setter_(setter) {}

    void launch(sgx::Population population, std::optional<uint64_t> budget_mib,
                std::optional<uint64_t> balloon_mib) {
        auto launch = with_epc(request("dev"), 8);
        launch.sgx->population = population;
        launch.sgx->budget_mib = budget_mib;
        launch.sgx->balloon_mib = balloon_mib;
        launch.spill = sys::memfd("spill").value();
        id_ = supervisor_->launch(std::move(launch)).value().id;
        EXPECT_TRUE(until([this] { return record().state == VmState::Running; }));
    }
    VmRecord record() { return supervisor_->find(id_, api::VmRole::Primary).value(); }
    uint64_t lent() { return supervisor_->grant(id_)->epc_bytes(); }
    Result<api::vmm::SgxState> set(uint64_t mib) {
        std::optional<Result<api::vmm::SgxState>> answer;
        (*supervisor_.*setter_)(id_, mib,
                                [&](Result<api::vmm::SgxState> state) { answer = std::move(state); });
        EXPECT_TRUE(until([&] { return answer.has_value(); }));
        return std::move(*answer);
    }
    std::string limit(uint64_t mib) { return "limit " + id_ + " for " + std::to_string(mib) + " MiB of EPC"; }

    std::string id_;

  private:
    const Setter setter_;
};

class EpcBudgetTest : public ChangingEpcTest {
  protected:
    EpcBudgetTest() : ChangingEpcTest(&Supervisor::set_epc_budget) {
        launch(sgx::Population::Oversubscribe, 2, {});
    }

    std::string budget(uint64_t mib) { return "budget " + id_ + " " + std::to_string(mib) + " MiB"; }
};

TEST_F(EpcBudgetTest, OnlyTheBudgetIsLent) {
    EXPECT_EQ(lent(), 2_MiB);
    const auto order = host_.launches().at(0);
    EXPECT_EQ(order.sgx.budget_mib, 2U);
    EXPECT_EQ(order.sgx.sections[0].size_mib, 8U);
    EXPECT_EQ(host_.disk_count(id_), 1U) << "the spill file";
}

TEST_F(EpcBudgetTest, ALargerOneIsHeldAndAllowedBeforeTheVmHasIt) {
    EXPECT_EQ(set(5)->budget_pages, 5U * 256);

    EXPECT_EQ(host_.orders(), (std::vector{limit(5), budget(5)}));
    EXPECT_EQ(lent(), 6_MiB);
    EXPECT_EQ(record().sgx->budget_mib, 5U);
    restart();
    EXPECT_EQ(lent(), 6_MiB);
    EXPECT_EQ(record().sgx->budget_mib, 5U);
}

TEST_F(EpcBudgetTest, OfASmallerOneTheRestIsTheHostsWhenTheVmHasGivenIt) {
    ASSERT_TRUE(set(8));

    ASSERT_TRUE(set(1));

    EXPECT_EQ(host_.orders(), (std::vector{limit(8), budget(8), budget(1), limit(1)}));
    EXPECT_EQ(lent(), 2_MiB);
    restart();
    EXPECT_EQ(lent(), 2_MiB);
}

TEST_F(EpcBudgetTest, WhatTheVmStillUsesIsItsUntilItIsNot) {
    ASSERT_TRUE(set(8));
    host_.refuse_next_limit(Error(ErrorCode::Busy, "in use"));

    ASSERT_TRUE(set(2));

    EXPECT_EQ(record().sgx->budget_mib, 2U);
    EXPECT_EQ(lent(), 8_MiB);
    EXPECT_TRUE(until([this] { return lent() == 2_MiB; })) << "it is tried again";
    EXPECT_EQ(host_.orders().back(), limit(2));
}

TEST_F(EpcBudgetTest, MemoryThatTheHostHasNotIsRefused) {
    const auto hog = supervisor_->launch([&] {
        auto launch = plain_primary(request("hog"));
        launch.memory_bytes = 1_GiB - 64_MiB - 4_MiB;
        return launch;
    }());
    ASSERT_TRUE(hog) << hog.error().to_string();

    const auto refused = set(8);

    EXPECT_EQ(refused.error().code(), ErrorCode::NoFreeMemory);
    EXPECT_EQ(lent(), 2_MiB);
    EXPECT_TRUE(host_.orders().empty());
}

TEST_F(EpcBudgetTest, ARefusalLeavesThingsAsTheyWere) {
    host_.refuse_next_limit(Error(ErrorCode::NotFound, "no such VM"));
    EXPECT_EQ(set(8).error().code(), ErrorCode::NotFound);
    EXPECT_TRUE(until([this] { return lent() == 2_MiB; }));

    host_.refuse_next_budget(Error(ErrorCode::EnclaveNotReady, "between two lives"));
    EXPECT_EQ(set(8).error().code(), ErrorCode::EnclaveNotReady);
    EXPECT_TRUE(until([this] { return lent() == 2_MiB; }));

    host_.refuse_next_budget(Error(ErrorCode::SystemCall, "the disk"));
    EXPECT_EQ(set(1).error().code(), ErrorCode::SystemCall);
    EXPECT_EQ(record().sgx->budget_mib, 2U);
    EXPECT_TRUE(set(3));
}

TEST_F(EpcBudgetTest, WhatNobodyKnowsOfIsHeldOn) {
    host_.refuse_next_budget(Error(ErrorCode::Timeout, "the VMM does not answer"));

    EXPECT_EQ(set(8).error().code(), ErrorCode::Timeout);

    run_for(milliseconds(60));
    EXPECT_EQ(lent(), 8_MiB);
    EXPECT_EQ(record().sgx->budget_mib, 2U);
    ASSERT_TRUE(set(2));
    EXPECT_TRUE(until([this] { return lent() == 2_MiB; }));
}

TEST_F(EpcBudgetTest, OneIsSetAfterTheOther) {
    std::vector<ErrorCode> codes;
    for (const uint64_t mib : {4, 5})
        supervisor_->set_epc_budget(id_, mib, [&](const Result<api::vmm::SgxState>& state) {
            codes.push_back(state ? ErrorCode{} : state.error().code());
        });

    EXPECT_TRUE(until([&] { return codes.size() == 2; }));
    EXPECT_EQ(codes[0], ErrorCode::Busy);
    EXPECT_EQ(record().sgx->budget_mib, 4U);
}

TEST_F(EpcBudgetTest, WhatIsNoBudgetIsRefused) {
    EXPECT_EQ(set(0).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(set(9).error().code(), ErrorCode::InvalidArgument);
    ASSERT_TRUE(supervisor_->stop(id_, milliseconds(0)));
    EXPECT_EQ(set(4).error().code(), ErrorCode::EnclaveNotReady);
    id_ = supervisor_->launch(with_epc(request("static"), 4)).value().id;
    ASSERT_TRUE(until([this] { return record().state == VmState::Running; }));
    EXPECT_EQ(set(2).error().code(), ErrorCode::InvalidArgument);
    id_ = "nobody";
    EXPECT_EQ(set(2).error().code(), ErrorCode::EnclaveNotFound);
}

TEST_F(EpcBudgetTest, TheEndOfTheVmGivesAllBack) {
    ASSERT_TRUE(set(8));
    ASSERT_TRUE(supervisor_->stop(id_, milliseconds(0)));
    ASSERT_TRUE(until([this] { return is_over(record().state); }));
    EXPECT_TRUE(ledger_->grants().empty());
}

class EpcBalloonTest : public ChangingEpcTest {
  protected:
    EpcBalloonTest() : ChangingEpcTest(&Supervisor::set_epc_balloon) { launch(); }

    void launch(std::optional<uint64_t> balloon_mib = {}) {
        ChangingEpcTest::launch(sgx::Population::Balloon, {}, balloon_mib);
    }
    void guest_holds(uint64_t bytes) { host_.hold_epc(id_, bytes); }
    bool comes_to(uint64_t bytes) {
        return until([&] { return lent() == bytes; });
    }
    // So that the host has as much left as that, of 1 GiB without this VM's memory and 2 MiB of EPC.
    std::string start_hog(uint64_t left) {
        auto launch = plain_primary(request("hog"));
        launch.memory_bytes = 1_GiB - 64_MiB - 2_MiB - left;
        const auto hog = supervisor_->launch(std::move(launch));
        EXPECT_TRUE(hog) << hog.error().to_string();
        return hog ? hog->id : "";
    }
    std::string told(const char* what, uint64_t mib) {
        return std::string(what) + " " + id_ + " " + std::to_string(mib) + " MiB";
    }
};

TEST_F(EpcBalloonTest, AGuestWithoutAProgramHasAllItsEpc) {
    EXPECT_EQ(lent(), 8_MiB);
    EXPECT_EQ(host_.launches().at(0).sgx.budget_mib, 8U);
    EXPECT_EQ(set(4)->balloon->target, 4_MiB);
    run_for(milliseconds(60));
    EXPECT_EQ(lent(), 8_MiB);
    EXPECT_EQ(host_.orders(), std::vector{told("balloon", 4)});
}

TEST_F(EpcBalloonTest, WhatTheGuestHoldsIsLentAnewUpToWhatItWasAskedFor) {
    ASSERT_TRUE(set(4));
    guest_holds(2_MiB + 900_KiB);
    EXPECT_TRUE(comes_to(6_MiB));
    EXPECT_EQ(record().sgx->budget_mib, 6U) << "in whole MiB";
    guest_holds(7_MiB);
    EXPECT_TRUE(comes_to(4_MiB));

    EXPECT_EQ(host_.orders(),
              (std::vector{told("balloon", 4), told("budget", 6), limit(6), told("budget", 4), limit(4)}));
    restart();
    EXPECT_EQ(lent(), 4_MiB);
    EXPECT_EQ(record().sgx->balloon_mib, 4U);
    guest_holds(0);
    EXPECT_TRUE(comes_to(8_MiB)) << "it is followed by the daemon's next life, too";
}

TEST_F(EpcBalloonTest, WhatIsNotHeldAnyMoreIsTheVmsAgain) {
    ASSERT_TRUE(set(6));
    guest_holds(6_MiB);
    ASSERT_TRUE(comes_to(2_MiB));
    guest_holds(0);
    EXPECT_TRUE(comes_to(8_MiB));
    EXPECT_TRUE(until([this] { return record().sgx->budget_mib == 8U; }));
    EXPECT_EQ(record().sgx->balloon_mib, 6U) << "it is still wanted";
}

TEST_F(EpcBalloonTest, MemoryIsThereBeforeTheGuestIsToldThatItIs) {
    ASSERT_TRUE(set(6));
    guest_holds(6_MiB);
    ASSERT_TRUE(comes_to(2_MiB));
    const auto before = host_.orders().size();

    ASSERT_TRUE(set(0));

    EXPECT_EQ(lent(), 8_MiB);
    auto orders = host_.orders();
    orders.erase(orders.begin(), orders.begin() + static_cast<ptrdiff_t>(before));
    EXPECT_EQ(orders, (std::vector{limit(8), told("budget", 8), told("balloon", 0)}));
}

TEST_F(EpcBalloonTest, WhatWasLentToOthersIsRefusedUntilTheyGiveItBack) {
    ASSERT_TRUE(set(6));
    guest_holds(6_MiB);
    ASSERT_TRUE(comes_to(2_MiB));
    const auto hog = start_hog(4_MiB);

    EXPECT_EQ(set(0).error().code(), ErrorCode::NoFreeMemory);
    EXPECT_EQ(record().sgx->balloon_mib, 6U);
    guest_holds(0);
    run_for(milliseconds(60));
    EXPECT_EQ(lent(), 2_MiB) << "nobody takes what he was not lent";

    ASSERT_TRUE(supervisor_->stop(hog, milliseconds(0)));
    EXPECT_TRUE(comes_to(8_MiB));
}

TEST_F(EpcBalloonTest, ARefusalLeavesThingsAsTheyWere) {
    host_.refuse_next_budget(Error(ErrorCode::EnclaveNotReady, "between two lives"));
    EXPECT_EQ(set(4).error().code(), ErrorCode::EnclaveNotReady);
    EXPECT_EQ(record().sgx->balloon_mib, std::nullopt);
    EXPECT_TRUE(set(4));
}

TEST_F(EpcBalloonTest, WhatIsNoBalloonIsRefused) {
    EXPECT_EQ(set(8).error().code(), ErrorCode::InvalidArgument);
    ASSERT_TRUE(supervisor_->stop(id_, milliseconds(0)));
    EXPECT_EQ(set(4).error().code(), ErrorCode::EnclaveNotReady);
    id_ = supervisor_->launch(with_epc(request("static"), 4)).value().id;
    ASSERT_TRUE(until([this] { return record().state == VmState::Running; }));
    EXPECT_EQ(set(2).error().code(), ErrorCode::InvalidArgument);
}

TEST_F(EpcBalloonTest, OneThatIsAskedForAtTheStartIsFollowedFromThere) {
    ASSERT_TRUE(supervisor_->stop(id_, milliseconds(0)));
    ASSERT_TRUE(until([this] { return is_over(record().state); }));
    launch(3);
    EXPECT_EQ(host_.launches().back().sgx.balloon_mib, 3U);
    guest_holds(3_MiB);
    EXPECT_TRUE(until([this] { return record().sgx->budget_mib == 5U; }));
}

TEST_F(EpcBalloonTest, TheEndOfTheVmGivesAllBack) {
    ASSERT_TRUE(set(6));
    guest_holds(6_MiB);
    ASSERT_TRUE(comes_to(2_MiB));
    ASSERT_TRUE(supervisor_->stop(id_, milliseconds(0)));
    ASSERT_TRUE(until([this] { return is_over(record().state); }));
    EXPECT_TRUE(ledger_->grants().empty());
}

}  // namespace
}  // namespace alcove::daemon

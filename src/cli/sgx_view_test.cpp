// SPDX-License-Identifier: Apache-2.0
#include "cli/sgx_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "daemon/sgx_json.hpp"
#include "support/bits.hpp"

namespace alcove::cli {
namespace {

using codec::json::Json;
using testing::HasSubstr;

// What the daemon says today is what is shown: both ends of the contract in one test.
Json vm_of(Result<api::vmm::SgxState> state) {
    sgx::Configuration configuration;
    configuration.epc = {{.size_mib = 4}};
    Json json = daemon::to_json(daemon::sgx_view(configuration, std::move(state)));
    json["id"] = "i-1";
    json["name"] = "dev";
    return json;
}

api::vmm::SgxState busy_state() {
    api::vmm::SgxState state{
        .enclaves_in_all = 3, .valid_pages = 256, .resident_pages = 1024, .asynchronous_exits = 21};
    state.sections = {{.base = 4_GiB, .size = 4_MiB}};
    state.leaves = {{.name = api::TextField<16>::of("EADD"), .completed = 5, .faulted = 1},
                    {.name = api::TextField<16>::of("EWB"), .completed = 0, .faulted = 0}};
    api::vmm::SgxEnclaveEntry enclave{};
    enclave.eid = 2;
    enclave.flags = api::vmm::SgxEnclaveEntry::kInitialized | api::vmm::SgxEnclaveEntry::kDebug;
    enclave.mrenclave.fill(0xab);
    enclave.threads_inside = 1;
    enclave.asynchronous_exits = 17;
    enclave.encls[11] = 6;
    enclave.enclu[2] = 3;
    state.enclaves = {enclave, {}};
    return state;
}

TEST(SgxView, AVmIsShownWithItsEnclaves) {
    const auto text = render_sgx_list(Json::array({vm_of(busy_state())}));

    EXPECT_THAT(text, HasSubstr("i-1  dev\n"));
    EXPECT_THAT(text, HasSubstr("section     4 MiB at 0x100000000\n"));
    EXPECT_THAT(text, HasSubstr("in use      256 pages (1 MiB)\n"));
    EXPECT_THAT(text, HasSubstr("leaves      EADD 5 (1 faulted)\n"));
    EXPECT_THAT(text, HasSubstr("AEX         21\n"));
    EXPECT_THAT(text, HasSubstr("  enclave 2 (debug)\n"));
    EXPECT_THAT(text, HasSubstr("    mrenclave       abab"));
    EXPECT_THAT(text, HasSubstr("    leaves          EWB 6, EENTER 3\n"));
    EXPECT_THAT(text, HasSubstr("    AEX             17\n"));
    EXPECT_THAT(text, HasSubstr("  enclave 0 (being built)\n"));
    EXPECT_THAT(text, HasSubstr("  and 1 enclaves more\n"));
}

TEST(SgxView, OfEpcWithABudgetItIsShownWhatWentAndCame) {
    sgx::Configuration configuration;
    configuration.epc = {{.size_mib = 4}, {.size_mib = 2}};
    configuration.population = sgx::Population::Oversubscribe;
    configuration.budget_mib = 1;
    auto state = busy_state();
    state.budget_pages = 256;
    state.evictions = 12;
    state.loads = 7;
    const Json json = daemon::to_json(daemon::sgx_view(configuration, std::move(state)));

    const auto text = render_sgx_list(Json::array({json}));

    EXPECT_THAT(text, HasSubstr("population  oversubscribe\n"));
    EXPECT_THAT(text, HasSubstr("budget      1 MiB\n"));
    EXPECT_THAT(text, HasSubstr("spilled     12 evictions, 7 loads, 0 beyond the budget\n"));
    EXPECT_EQ(render_sgx_budget(json), "1 MiB of 6 MiB of EPC in memory");
}

TEST(SgxView, OfEpcWithABalloonItIsShownWhatIsAskedForHeldAndReported) {
    sgx::Configuration configuration;
    configuration.epc = {{.size_mib = 8}};
    configuration.population = sgx::Population::Balloon;
    configuration.balloon_mib = 4;
    auto state = busy_state();
    state.balloon = api::vmm::SgxBalloon{.target = 4_MiB, .held = 3_MiB, .reported = 7_MiB};
    const Json json = daemon::to_json(daemon::sgx_view(configuration, std::move(state)));

    const auto text = render_sgx_list(Json::array({json}));

    EXPECT_THAT(text, HasSubstr("population  balloon\n"));
    EXPECT_THAT(text, HasSubstr("balloon     4 MiB asked for, 3 MiB held, 7 MiB reported\n"));
    EXPECT_EQ(render_sgx_balloon(json), "4 MiB of 8 MiB of EPC asked for, 3 MiB held by now");
}

TEST(SgxView, AVmThatDoesNotAnswerIsShownAsItWasAskedFor) {
    const auto text =
        render_sgx_list(Json::array({vm_of(fail(ErrorCode::EnclaveNotReady, "between two lives"))}));

    EXPECT_THAT(text, HasSubstr("section     4 MiB\n"));
    EXPECT_THAT(text, HasSubstr("state       between two lives\n"));
    EXPECT_EQ(render_sgx_list(Json::array()), "no VM with SGX runs\n");
}

TEST(SgxView, TheHostSaysWhatItHas) {
    host::SgxHardware hardware;
    EXPECT_THAT(render_sgx_host(daemon::to_json(hardware, {})), HasSubstr("have no SGX"));
    hardware.present = hardware.sgx1 = true;
    hardware.sections = {{.base = 0x7020'0000, .size = 64_MiB, .node = host::NumaNode{0}},
                         {.base = 0x10'0000'0000, .size = 64_MiB}};
    hardware.nodes = {{.node = {0}, .total_bytes = 64_MiB}};
    std::vector<host::NodeAccount> account = {{.node = {0}, .lines = {}}};
    account[0].lines = {{.owner = "i-1", .epc_bytes = 8_MiB}, {.owner = "free", .small_bytes = 24_MiB}};

    const auto text = render_sgx_host(daemon::to_json(hardware, account));

    EXPECT_THAT(text, HasSubstr("64 MiB at 0x70200000, node 0\n"));
    EXPECT_THAT(text, HasSubstr("64 MiB at 0x1000000000\n"));
    EXPECT_THAT(text, HasSubstr("SGX2              no\n"));
    EXPECT_THAT(text, HasSubstr("budget            32 MiB\n"));
    EXPECT_THAT(text, HasSubstr("i-1    8 MiB"));
}

TEST(SgxView, EpcOfTheHostIsShownWithItsOwners) {
    const host::SgxHardware hardware{.present = true, .virtual_epc_device = true};
    std::vector<host::NodeAccount> account = {{.node = {0}, .lines = {}}};
    account[0].lines = {{.owner = "i-1", .hardware_epc_bytes = 8_MiB},
                        {.owner = "free", .hardware_epc_bytes = 56_MiB}};

    const auto text = render_sgx_host(daemon::to_json(hardware, account));

    EXPECT_THAT(text, HasSubstr("lent              8 MiB\n"));
    EXPECT_THAT(text, HasSubstr("free              56 MiB\n"));
    EXPECT_THAT(text, HasSubstr("i-1    8 MiB  EPC of the host"));
}

TEST(SgxView, OfTheProcessorsEnclavesItIsSaidThatNobodySeesThem) {
    sgx::Configuration configuration;
    configuration.epc = {{.size_mib = 4}};
    configuration.backend = sgx::Backend::Hardware;
    api::vmm::SgxState state;
    state.sections = {{.base = 4_GiB, .size = 4_MiB}};

    const auto text =
        render_sgx_list(Json::array({daemon::to_json(daemon::sgx_view(configuration, std::move(state)))}));

    EXPECT_THAT(text, HasSubstr("backend     hardware\n"));
    EXPECT_THAT(text, HasSubstr("section     4 MiB at 0x100000000\n"));
    EXPECT_THAT(text, HasSubstr("enclaves    not seen"));
    EXPECT_THAT(text, testing::Not(HasSubstr("resident")));
    EXPECT_THAT(text, testing::Not(HasSubstr("no enclaves")));
}

TEST(SgxView, AnAnswerWithoutItsPartsIsShownAsFarAsItGoes) {
    EXPECT_FALSE(render_sgx_host(Json::object()).empty());
    EXPECT_FALSE(render_sgx_list(Json::array({Json::object()})).empty());
}

}  // namespace
}  // namespace alcove::cli

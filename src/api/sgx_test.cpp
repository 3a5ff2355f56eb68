// SPDX-License-Identifier: Apache-2.0
#include "api/sgx.hpp"

#include <gtest/gtest.h>

#include "api/sgx_messages.hpp"
#include "support/bits.hpp"

namespace alcove::api {
namespace {

Sgx two_sections() {
    Sgx sgx;
    sgx.sections[0] = {.base = EpcSection::kAnywhere, .size_mib = 4, .node = 0};
    sgx.sections[1] = {.base = 8_GiB, .size_mib = 2, .node = 1};
    sgx.flags = Sgx::kSgx1 | Sgx::kLaunchHashWritable;
    return sgx;
}

TEST(Sgx, IsOfAPrimaryVm) {
    EXPECT_TRUE(is_sgx_of(VmRole::Primary, {}));
    EXPECT_TRUE(is_sgx_of(VmRole::Enclave, {}));
    EXPECT_FALSE(Sgx{}.is_there());
    EXPECT_TRUE(is_sgx_of(VmRole::Primary, two_sections()));
    EXPECT_EQ(two_sections().epc_bytes(), 6_MiB);

    EXPECT_FALSE(is_sgx_of(VmRole::Enclave, two_sections()));
}

TEST(Sgx, EachNumberIsChecked) {
    const auto wrong = [](auto change) {
        auto sgx = two_sections();
        change(sgx);
        return !is_sgx_of(VmRole::Primary, sgx);
    };

    EXPECT_TRUE(wrong([](Sgx& sgx) { sgx.sections[0] = {}; })) << "a gap";
    EXPECT_TRUE(wrong([](Sgx& sgx) { sgx.sections[1].base = 8_GiB + 4_KiB; }));
    EXPECT_TRUE(wrong([](Sgx& sgx) { sgx.sections[1].size_mib = ~0U; }));
    EXPECT_TRUE(wrong([](Sgx& sgx) { sgx.sections[1].size_mib = kMaxMemoryBytes / 1_MiB; })) << "together";
    EXPECT_TRUE(wrong([](Sgx& sgx) { sgx.flags = 64; }));
    EXPECT_TRUE(wrong([](Sgx& sgx) { sgx.flags = Sgx::kHardware, sgx.budget_mib = 1; }))
        << "it has no budget";
    EXPECT_TRUE(wrong([](Sgx& sgx) { sgx.budget_mib = 7; })) << "more than there is";
    EXPECT_TRUE(wrong([](Sgx& sgx) { sgx.sections = {}, sgx.budget_mib = 1; })) << "of nothing";
    EXPECT_TRUE(wrong([](Sgx& sgx) { sgx.sections[5].node = 1; })) << "of a section that there is not";
    Sgx rest;
    rest.root[3] = 1;
    EXPECT_FALSE(is_sgx_of(VmRole::Primary, rest)) << "a secret of nothing";
}

TEST(Sgx, WithABudgetItHasASpillFileAndLessInMemory) {
    auto sgx = two_sections();
    EXPECT_FALSE(sgx.has_spill_file());
    EXPECT_EQ(sgx.resident_bytes(), 6_MiB);

    sgx.budget_mib = 2;
    EXPECT_TRUE(is_sgx_of(VmRole::Primary, sgx));
    EXPECT_TRUE(sgx.has_spill_file());
    EXPECT_EQ(sgx.resident_bytes(), 2_MiB);
    sgx.budget_mib = 6;
    EXPECT_TRUE(is_sgx_of(VmRole::Primary, sgx)) << "a VM that runs may come to have all in memory";
}

TEST(Sgx, ABalloonIsOfEpcWithABudgetAndLessThanAll) {
    auto sgx = two_sections();
    sgx.flags = sgx.flags | Sgx::kBalloon;
    EXPECT_FALSE(is_sgx_of(VmRole::Primary, sgx)) << "what is given back has to come from somewhere";
    sgx.budget_mib = 6;
    EXPECT_TRUE(is_sgx_of(VmRole::Primary, sgx));
    sgx.balloon_mib = 5;
    EXPECT_TRUE(is_sgx_of(VmRole::Primary, sgx));
    sgx.balloon_mib = 6;
    EXPECT_FALSE(is_sgx_of(VmRole::Primary, sgx));
    sgx.balloon_mib = 5;
    sgx.flags = Sgx::kSgx1;
    EXPECT_FALSE(is_sgx_of(VmRole::Primary, sgx)) << "of EPC that has none";
}

TEST(Sgx, OfTheHostsProcessorsItComesWithDevicesAndIsNoMemory) {
    auto sgx = two_sections();
    EXPECT_EQ(sgx.epc_devices(), 0U);
    EXPECT_TRUE(sgx.has_root());
    sgx.flags = sgx.flags | Sgx::kHardware;

    EXPECT_TRUE(is_sgx_of(VmRole::Primary, sgx));
    EXPECT_EQ(sgx.epc_devices(), 2U);
    EXPECT_EQ(sgx.resident_bytes(), 0U);
    EXPECT_EQ(sgx.epc_bytes(), 6_MiB);
    EXPECT_FALSE(sgx.has_root());
    EXPECT_FALSE(sgx.has_provision_device());
    sgx.flags = sgx.flags | Sgx::kProvisionKey;
    EXPECT_TRUE(sgx.has_provision_device());
    sgx.flags = sgx.flags & ~Sgx::kHardware;
    EXPECT_FALSE(sgx.has_provision_device()) << "software has a key of its own";
}

TEST(SgxRequest, ANumberBelongsToTheActionsThatSetOne) {
    using vmm::SgxAction;
    const auto action = [](uint32_t number, uint64_t mib) {
        return vmm::sgx_action_of({.request = 1, .action = number, .mib = mib});
    };
    EXPECT_EQ(action(0, 0), SgxAction::Report);
    EXPECT_EQ(action(1, 0), SgxAction::Drop);
    EXPECT_EQ(action(2, 5), SgxAction::SetBudget);
    EXPECT_EQ(action(0, 5), std::nullopt);
    EXPECT_EQ(action(1, 5), std::nullopt);
    EXPECT_EQ(action(2, 0), std::nullopt);
    EXPECT_EQ(action(3, 5), SgxAction::SetBalloon);
    EXPECT_EQ(action(3, 0), SgxAction::SetBalloon) << "nothing is wanted any more";
    EXPECT_EQ(action(4, 0), std::nullopt);
}

vmm::SgxState some_state() {
    vmm::SgxState state{.enclaves_in_all = 1,
                        .valid_pages = 7,
                        .resident_pages = 512,
                        .evicted_pages = 11,
                        .budget_pages = 512,
                        .evictions = 30,
                        .loads = 20,
                        .overdrafts = 1,
                        .asynchronous_exits = 17,
                        .balloon = vmm::SgxBalloon{.target = 2_MiB, .held = 1_MiB, .reported = 3_MiB}};
    state.sections = {{.base = 4_GiB, .size = 2_MiB}};
    state.leaves = {{.name = TextField<16>::of("EADD"), .completed = 5, .faulted = 1},
                    {.name = TextField<16>::of("EENTER"), .completed = 2, .faulted = 0}};
    vmm::SgxEnclaveEntry enclave{};
    enclave.eid = 3;
    enclave.mrsigner.fill(0x55);
    enclave.encls[15] = 4;
    state.enclaves = {enclave};
    return state;
}

TEST(SgxReport, ComesAsItWent) {
    const auto message = vmm::encode_sgx_report(9, some_state());

    const auto reply = vmm::decode_sgx_report(open_envelope(message).value()).value();

    EXPECT_EQ(reply.request, 9U);
    EXPECT_EQ(reply.state.valid_pages, 7U);
    EXPECT_EQ(reply.state.resident_pages, 512U);
    EXPECT_EQ(reply.state.evicted_pages, 11U);
    EXPECT_EQ(reply.state.budget_pages, 512U);
    EXPECT_EQ(reply.state.evictions, 30U);
    EXPECT_EQ(reply.state.loads, 20U);
    EXPECT_EQ(reply.state.overdrafts, 1U);
    EXPECT_EQ(reply.state.asynchronous_exits, 17U);
    EXPECT_EQ(reply.state.balloon, some_state().balloon);
    ASSERT_EQ(reply.state.sections.size(), 1U);
    EXPECT_EQ(reply.state.sections[0].base, 4_GiB);
    ASSERT_EQ(reply.state.leaves.size(), 2U);
    EXPECT_EQ(reply.state.leaves[1].name.text(), "EENTER");
    ASSERT_EQ(reply.state.enclaves.size(), 1U);
    EXPECT_EQ(reply.state.enclaves[0].eid, 3U);
    EXPECT_EQ(reply.state.enclaves[0].mrsigner[31], 0x55);
    EXPECT_EQ(reply.state.enclaves[0].encls[15], 4U);
}

TEST(SgxReport, HasAsManyEnclavesAsFit) {
    auto state = some_state();
    state.enclaves.resize(1000);
    state.enclaves_in_all = 1000;

    const auto message = vmm::encode_sgx_report(1, state);

    const auto reply = vmm::decode_sgx_report(open_envelope(message).value()).value();
    EXPECT_EQ(reply.state.enclaves.size(), vmm::SgxReport::kMaxEnclaves);
    EXPECT_EQ(reply.state.enclaves_in_all, 1000U);
}

TEST(SgxReport, OfAnotherLengthThanItSaysOrWithAFalseNameIsRefused) {
    const auto message = vmm::encode_sgx_report(1, some_state());
    const auto envelope = open_envelope(message).value();
    Envelope cut{.type = envelope.type, .body = envelope.body.first(envelope.body.size() - 1)};
    EXPECT_EQ(vmm::decode_sgx_report(cut).error().code(), ErrorCode::InvalidMessage);

    auto state = some_state();
    state.leaves[0].name = TextField<16>::of("\x1b[2J");
    const auto false_name = vmm::encode_sgx_report(1, state);
    EXPECT_EQ(vmm::decode_sgx_report(open_envelope(false_name).value()).error().code(),
              ErrorCode::InvalidMessage);
}

}  // namespace
}  // namespace alcove::api

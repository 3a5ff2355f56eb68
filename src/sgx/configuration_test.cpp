// SPDX-License-Identifier: Apache-2.0
#include "sgx/configuration.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sgx/cpuid.hpp"
#include "support/bits.hpp"

namespace alcove::sgx {
namespace {

using memory::GuestAddress;
using memory::GuestRange;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Configuration with_epc(uint64_t size_mib = 8) {
    Configuration configuration;
    configuration.epc = {{.size_mib = size_mib}};
    return configuration;
}
std::string refusal(const Configuration& configuration) {
    const auto checked = check(configuration);
    return checked ? "" : checked.error().to_string();
}

TEST(SgxConfiguration, TheDefaultsNeedNoRemark) {
    EXPECT_THAT(check(with_epc()).value(), IsEmpty());
}

TEST(SgxConfiguration, SectionsAreChecked) {
    EXPECT_THAT(refusal({}), HasSubstr("[[sgx.epc]]"));
    EXPECT_THAT(refusal(with_epc(0)), HasSubstr("at least 1 MiB"));
    EXPECT_THAT(refusal(with_epc(uint64_t{1} << 44)), HasSubstr("at most"));
    auto many = with_epc();
    many.epc.resize(9, {.size_mib = 1});
    EXPECT_THAT(refusal(many), HasSubstr("at most 8"));
    auto odd = with_epc();
    odd.epc[0].base = GuestAddress(64_GiB + 4_KiB);
    EXPECT_THAT(refusal(odd), HasSubstr("multiple of 1 MiB"));
    auto remote = with_epc();
    remote.epc[0].node = kMaxNode;
    EXPECT_EQ(refusal(remote), "");
    remote.epc[0].node = kMaxNode + 1;
    EXPECT_THAT(refusal(remote), HasSubstr("at most 1023"));
}

TEST(SgxConfiguration, TheBudgetGoesWithOversubscription) {
    auto configuration = with_epc();
    configuration.budget_mib = 2;
    EXPECT_THAT(refusal(configuration), HasSubstr("oversubscribe"));
    configuration.population = Population::Oversubscribe;
    EXPECT_EQ(refusal(configuration), "");
    configuration.budget_mib = 8;
    EXPECT_THAT(refusal(configuration), HasSubstr("less than the EPC"));
    configuration.budget_mib = 0;
    EXPECT_THAT(refusal(configuration), HasSubstr("at least 1"));
    configuration.budget_mib.reset();
    EXPECT_THAT(refusal(configuration), HasSubstr("needs sgx.budget_mib"));
}

TEST(SgxConfiguration, ABalloonLeavesSomethingToTheGuest) {
    auto configuration = with_epc();
    configuration.balloon_mib = 2;
    EXPECT_THAT(refusal(configuration), HasSubstr("goes with sgx.population = \"balloon\""));
    configuration.population = Population::Balloon;
    EXPECT_EQ(refusal(configuration), "");
    EXPECT_EQ(configuration.resident_mib(), 8U);
    configuration.balloon_mib = 8;
    EXPECT_THAT(refusal(configuration), HasSubstr("leaves nothing"));
    configuration.balloon_mib = 7;
    EXPECT_EQ(refusal(configuration), "");
    configuration.budget_mib = 4;
    EXPECT_THAT(refusal(configuration), HasSubstr("oversubscribe"));
}

TEST(SgxConfiguration, WhatLeavesLinuxWithoutItsDriverIsSaid) {
    auto configuration = with_epc();
    configuration.launch_hash_writable = false;
    EXPECT_THAT(check(configuration).value(), ElementsAre(HasSubstr("will not load")));
    configuration = with_epc();
    configuration.sgx1 = false;
    EXPECT_THAT(refusal(configuration), HasSubstr("needs sgx.sgx1"));
    configuration.sgx2 = false;
    EXPECT_THAT(check(configuration).value(), ElementsAre(HasSubstr("will not load")));
}

TEST(SgxConfiguration, WhoCanUnsealIsSaid) {
    auto configuration = with_epc();
    configuration.key_root = KeyRoot::Host;
    EXPECT_THAT(check(configuration).value(), ElementsAre(HasSubstr("other VMs")));
    configuration.key_root = KeyRoot::Ephemeral;
    EXPECT_THAT(check(configuration).value(), ElementsAre(HasSubstr("next start")));
}

TEST(SgxConfiguration, HardwareHasItsLimits) {
    auto configuration = with_epc();
    configuration.backend = Backend::Hardware;
    EXPECT_THAT(refusal(configuration), HasSubstr("sgx.key_root"));
    configuration.key_root = KeyRoot::Host;
    EXPECT_EQ(refusal(configuration), "");
    configuration.on_migrate = OnMigrate::Carry;
    EXPECT_THAT(refusal(configuration), HasSubstr("software backend"));
    configuration.on_migrate = OnMigrate::Drop;
    configuration.population = Population::Oversubscribe;
    configuration.budget_mib = 4;
    EXPECT_THAT(refusal(configuration), HasSubstr("must be \"static\""));
    configuration.backend = Backend::Auto;
    EXPECT_EQ(refusal(configuration), "") << "there is software for it";
}

TEST(SgxConfiguration, WhatTheProcessorsCanNotDoIsSaidWithWhatToWrite) {
    constexpr HardwareAbilities kAll{.sgx1 = true, .sgx2 = true, .launch_control = true};
    const auto refused = [](const Configuration& configuration, HardwareAbilities abilities) {
        const auto checked = check_abilities(configuration, abilities);
        return checked ? "" : checked.error().to_string();
    };
    EXPECT_EQ(refused(with_epc(), kAll), "");
    EXPECT_EQ(check_abilities(with_epc(), {}).error().code(), ErrorCode::Unsupported);
    EXPECT_THAT(refused(with_epc(), {}), HasSubstr("no SGX1"));
    EXPECT_THAT(refused(with_epc(), {.sgx1 = true}), HasSubstr("write sgx.sgx2 = false"));
    auto one = with_epc();
    one.sgx2 = false;
    EXPECT_THAT(refused(one, {.sgx1 = true}), HasSubstr("write sgx.launch_control.writable = false"));
    one.launch_hash_writable = false;
    EXPECT_EQ(refused(one, {.sgx1 = true}), "");
    one.launch_hash[0] = 1;
    EXPECT_THAT(refused(one, {.sgx1 = true}), HasSubstr("launch key is Intel's"));
    EXPECT_EQ(refused(one, kAll), "");
    auto none = with_epc();
    none.sgx1 = none.sgx2 = false;
    EXPECT_EQ(refused(none, {.launch_control = true}), "") << "what is not wanted need not be there";
}

TEST(SgxConfiguration, WhatIsNotThereYetIsSaid) {
    EXPECT_TRUE(check_available(with_epc()));
    auto configuration = with_epc();
    configuration.population = Population::Oversubscribe;
    EXPECT_TRUE(check_available(configuration));
    configuration.population = Population::Balloon;
    EXPECT_TRUE(check_available(configuration));
    configuration = with_epc();
    configuration.backend = Backend::Hardware;
    EXPECT_TRUE(check_available(configuration));
    configuration = with_epc();
    configuration.on_migrate = OnMigrate::Carry;
    EXPECT_EQ(check_available(configuration).error().code(), ErrorCode::Unsupported);
}

TEST(SgxConfiguration, WordsAreThoseOfTheFile) {
    EXPECT_EQ(parse_backend("auto").value(), Backend::Auto);
    EXPECT_EQ(to_string(OnMigrate::SuspendFirst), "suspend-first");
    EXPECT_EQ(parse_population("balloon").value(), Population::Balloon);
    EXPECT_EQ(parse_key_root("ephemeral").value(), KeyRoot::Ephemeral);
    EXPECT_EQ(parse_on_migrate("suspend-first").value(), OnMigrate::SuspendFirst);
    EXPECT_THAT(parse_population("all").error().to_string(),
                HasSubstr("sgx.population is \"all\"; it can be static, oversubscribe, balloon"));
}

TEST(SgxConfiguration, ALaunchHashIsAnMrsigner) {
    const auto intel = parse_launch_hash("acb770120 53e05a63d413b8bbae8fb6c");
    EXPECT_FALSE(intel);
    EXPECT_EQ(parse_launch_hash("acb77012053e05a63d413b8bbae8fb6c5d73b3f2996d91c43bbbf90959c0f8d4").value(),
              kIntelLaunchHash);
    EXPECT_EQ(launch_hash_text(kIntelLaunchHash),
              "acb77012053e05a63d413b8bbae8fb6c5d73b3f2996d91c43bbbf90959c0f8d4");
    EXPECT_FALSE(parse_launch_hash("acb7"));
}

TEST(SgxPlacement, FollowsTheRamAndKeepsWhatWasGiven) {
    Configuration configuration;
    configuration.epc = {
        {.size_mib = 2}, {.size_mib = 4, .base = GuestAddress(8_GiB + 1_MiB)}, {.size_mib = 1}};
    const std::vector<GuestRange> ram{{GuestAddress(0), 3_GiB}, {GuestAddress(4_GiB), 4_GiB}};
    const auto sections = place_sections(configuration, GuestAddress(8_GiB), ram, 512_GiB).value();
    EXPECT_THAT(sections.ranges(), ElementsAre(GuestRange{GuestAddress(8_GiB + 5_MiB), 2_MiB},
                                               GuestRange{GuestAddress(8_GiB + 1_MiB), 4_MiB},
                                               GuestRange{GuestAddress(8_GiB), 1_MiB}));
    EXPECT_EQ(sections.pages(), 7U * 256);
}

TEST(SgxPlacement, SectionsGoAboveRamAndTheGapBelow4GiB) {
    const std::vector<GuestRange> devices{{GuestAddress(3_GiB), 1_GiB}};
    const auto first_of = [&](const std::vector<GuestRange>& ram) {
        return place_sections(with_epc(), ram, devices, 512_GiB)->ranges()[0].base;
    };
    EXPECT_EQ(first_of({{GuestAddress(0), 64_MiB}}), GuestAddress(4_GiB));
    EXPECT_EQ(first_of({{GuestAddress(0), 3_GiB}, {GuestAddress(4_GiB), 2_GiB}}), GuestAddress(6_GiB));
    auto over_devices = with_epc();
    over_devices.epc[0].base = GuestAddress(3_GiB);
    EXPECT_FALSE(place_sections(over_devices, std::vector<GuestRange>{}, devices, 512_GiB));
}

TEST(SgxPlacement, NoSectionLiesOverAnythingElse) {
    const std::vector<GuestRange> ram{{GuestAddress(0), 2_GiB}};
    const auto at = [&](uint64_t base, uint64_t limit = 512_GiB) {
        auto configuration = with_epc();
        configuration.epc[0].base = GuestAddress(base);
        return place_sections(configuration, GuestAddress(2_GiB), ram, limit);
    };
    EXPECT_THAT(at(1_GiB).error().to_string(), HasSubstr("over RAM"));
    EXPECT_THAT(at(2_GiB - 1_MiB).error().to_string(), HasSubstr("over RAM"));
    EXPECT_TRUE(at(2_GiB));
    EXPECT_THAT(at(512_GiB - 4_MiB).error().to_string(), HasSubstr("ends behind"));
    EXPECT_THAT(at(~uint64_t{0} - 1_MiB + 1).error().to_string(), HasSubstr("ends behind"));
    auto twice = with_epc();
    twice.epc[0].base = GuestAddress(4_GiB);
    twice.epc.push_back({.size_mib = 1, .base = GuestAddress(4_GiB + 7_MiB)});
    EXPECT_FALSE(place_sections(twice, GuestAddress(2_GiB), ram, 512_GiB));
    auto large = with_epc(512 * 1024);
    EXPECT_FALSE(place_sections(large, GuestAddress(2_GiB), ram, 512_GiB));
}

TEST(SgxSections, AddressesAndPagesGoBothWays) {
    const auto sections =
        Sections::create({{GuestAddress(64_GiB), 8_KiB}, {GuestAddress(32_GiB), 4_KiB}}).value();
    EXPECT_EQ(sections.pages(), 3U);
    EXPECT_EQ(sections.find(GuestAddress(64_GiB + 4_KiB + 17)), PageIndex{1});
    EXPECT_EQ(sections.find(GuestAddress(32_GiB)), PageIndex{2});
    EXPECT_EQ(sections.find(GuestAddress(32_GiB + 4_KiB)), std::nullopt);
    EXPECT_EQ(sections.find(GuestAddress(64_GiB - 1)), std::nullopt);
    for (uint32_t page = 0; page < 3; ++page)
        EXPECT_EQ(sections.find(sections.address_of(PageIndex{page})), PageIndex{page});
    EXPECT_FALSE(Sections::create({}));
    EXPECT_FALSE(Sections::create({{GuestAddress(0), 0}}));
    EXPECT_FALSE(Sections::create({{GuestAddress(1), 4_KiB}}));
    EXPECT_FALSE(Sections::create({{GuestAddress(0), 8_KiB}, {GuestAddress(4_KiB), 4_KiB}}));
    EXPECT_FALSE(Sections::create({{GuestAddress(~uint64_t{0} - 4095), 8_KiB}}));
}

TEST(SgxCpuid, TellsWhatIsConfigured) {
    auto configuration = with_epc();
    configuration.provision_key = true;
    const auto features = features_of(configuration, 7, {{.bit = 2, .offset = 576, .size = 256}});
    EXPECT_EQ(structured_feature_bits(features), (CpuidLeaf{.leaf = 7, .ebx = 1U << 2, .ecx = 1U << 30}));
    const auto sections =
        Sections::create({{GuestAddress(64_GiB), 8_MiB}, {GuestAddress(128_GiB + 1_MiB), 5_GiB}}).value();
    EXPECT_THAT(
        sgx_leaves(features, sections),
        ElementsAre(
            CpuidLeaf{.leaf = 0x12, .subleaf = 0, .eax = 3, .ebx = 1, .edx = 36U << 8},
            CpuidLeaf{.leaf = 0x12, .subleaf = 1, .eax = 0xb6, .ecx = 7},
            CpuidLeaf{.leaf = 0x12, .subleaf = 2, .eax = 1, .ebx = 0x10, .ecx = 0x80'0001},
            CpuidLeaf{
                .leaf = 0x12, .subleaf = 3, .eax = 0x10'0001, .ebx = 0x20, .ecx = 0x4000'0001, .edx = 1},
            CpuidLeaf{.leaf = 0x12, .subleaf = 4}));

    configuration.provision_key = false;
    configuration.sgx2 = false;
    configuration.launch_hash_writable = false;
    const auto fewer = features_of(configuration, 3, {});
    EXPECT_EQ(structured_feature_bits(fewer).ecx, 0U);
    EXPECT_EQ(sgx_leaves(fewer, sections)[0].eax, 1U);
    EXPECT_EQ(sgx_leaves(fewer, sections)[1].eax, 0xa6U);
    EXPECT_EQ(fewer.xsave_size(3), 576U);
    EXPECT_EQ(features.xsave_size(7), 832U);
    EXPECT_EQ(features.xsave_size(3), 576U);
}

}  // namespace
}  // namespace alcove::sgx

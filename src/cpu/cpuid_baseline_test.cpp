// SPDX-License-Identifier: Apache-2.0
#include "cpu/cpuid_baseline.hpp"

#include <gtest/gtest.h>

namespace alcove::cpu {
namespace {

// A host that has every feature there is, with AMD's vendor name.
std::vector<kvm_cpuid_entry2> generous_host() {
    std::vector<kvm_cpuid_entry2> entries;
    for (const uint32_t leaf : {0x0U, 0x1U, 0x7U, 0xdU, 0x40000000U, 0x40000001U, 0x80000001U, 0x80000008U}) {
        kvm_cpuid_entry2 entry{};
        entry.function = leaf;
        entry.eax = entry.ebx = entry.ecx = entry.edx = ~0U;
        entries.push_back(entry);
    }
    entries[0].ebx = 0x68747541;
    kvm_cpuid_entry2 xsave{};
    xsave.function = 0xd;
    xsave.index = 1;
    xsave.eax = ~0U;
    entries.push_back(xsave);
    return entries;
}

kvm_cpuid_entry2 find(const std::vector<kvm_cpuid_entry2>& entries, uint32_t leaf, uint32_t subleaf = 0) {
    for (const auto& entry : entries)
        if (entry.function == leaf && entry.index == subleaf) return entry;
    return {};
}

TEST(CpuidBaseline, NothingOfARichHostShowsThrough) {
    const auto entries = make_cpuid_baseline(generous_host(), {.vcpu_count = 4}).value();

    EXPECT_EQ(find(entries, 7).ebx, 0x009c01abU);
    EXPECT_EQ(find(entries, 7).ecx, 0U);
    EXPECT_EQ(find(entries, 1).ecx & (1U << 5), 0U) << "VMX";
    EXPECT_EQ(find(entries, 0x80000001).ecx & (1U << 2), 0U) << "SVM";
    EXPECT_EQ(find(entries, 0xd).eax, 7U);
}

TEST(CpuidBaseline, AMissingFeatureIsNamed) {
    auto host = generous_host();
    for (auto& entry : host)
        if (entry.function == 7) entry.ebx &= ~(1U << 8);

    const auto result = make_cpuid_baseline(host, {.vcpu_count = 1});

    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::KvmUnable);
    EXPECT_NE(result.error().message().find("BMI2"), std::string::npos);
}

TEST(CpuidBaseline, TopologyTellsCoresAndThreads) {
    const auto entries =
        make_cpuid_baseline(generous_host(), {.vcpu_count = 6, .threads_per_core = 2}).value();

    EXPECT_EQ(find(entries, 0xb, 0).eax, 1U);
    EXPECT_EQ(find(entries, 0xb, 0).ebx, 2U);
    EXPECT_EQ(find(entries, 0xb, 1).eax, 3U);
    EXPECT_EQ(find(entries, 0xb, 1).ebx, 6U);
    EXPECT_EQ(find(entries, 0x80000008).ecx, 5U | 3U << 12);
}

TEST(CpuidBaseline, OfAnOddNumberOfThreadsTheLastIsACoreOfItsOwn) {
    const auto entries =
        make_cpuid_baseline(generous_host(), {.vcpu_count = 3, .threads_per_core = 2}).value();
    const uint32_t thread_shift = find(entries, 0xb, 0).eax;
    const auto core_of = [&](uint32_t apic_id) { return apic_id >> thread_shift; };

    EXPECT_EQ(core_of(0), core_of(1));
    EXPECT_NE(core_of(1), core_of(2));
    EXPECT_EQ(find(entries, 0xb, 1).eax, 2U);
    EXPECT_EQ(find(entries, 0xb, 1).ebx, 3U);
}

TEST(CpuidBaseline, EachVcpuHasItsApicId) {
    const auto entries = cpuid_for(make_cpuid_baseline(generous_host(), {.vcpu_count = 4}).value(), 3);

    EXPECT_EQ(find(entries, 1).ebx >> 24, 3U);
    EXPECT_EQ(find(entries, 0xb, 0).edx, 3U);
    EXPECT_EQ(find(entries, 0xb, 1).edx, 3U);
}

TEST(CpuidBaseline, MitigationBitsFollowTheHost) {
    auto host = generous_host();
    const auto with = make_cpuid_baseline(host, {.vcpu_count = 1}).value();
    for (auto& entry : host)
        if (entry.function == 7) entry.edx = 0;
    const auto without = make_cpuid_baseline(host, {.vcpu_count = 1}).value();

    EXPECT_EQ(find(with, 7).edx, 0xbc000400U);
    EXPECT_EQ(find(without, 7).edx, 0U);
}

}  // namespace
}  // namespace alcove::cpu

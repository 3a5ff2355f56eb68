// SPDX-License-Identifier: Apache-2.0
#include "cpu/cpuid_baseline.hpp"

#include <algorithm>
#include <string>
#include <tuple>

#include <fmt/core.h>
#include <gtest/gtest.h>

namespace alcove::cpu {
namespace {

struct Vendor {
    uint32_t ebx, ecx, edx;
};
constexpr Vendor kIntel{.ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69};  // "Genu" "ntel" "ineI"
constexpr Vendor kAmd{.ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65};    // "Auth" "cAMD" "enti"

// A host whose every bit is set, in every leaf and subleaf that there is or may come to be, but for names.
std::vector<kvm_cpuid_entry2> generous_host(const Vendor& vendor = kAmd) {
    std::vector<kvm_cpuid_entry2> entries;
    for (const uint32_t group : {0x0U, 0x4000'0000U, 0x8000'0000U})
        for (uint32_t leaf = group; leaf < group + 0x40; ++leaf)
            for (uint32_t subleaf = 0; subleaf < 64; ++subleaf)
                entries.push_back(
                    {.function = leaf, .index = subleaf, .eax = ~0U, .ebx = ~0U, .ecx = ~0U, .edx = ~0U});
    for (auto& entry : entries) {
        if (entry.function == 0)
            std::tie(entry.ebx, entry.ecx, entry.edx) = std::tuple(vendor.ebx, vendor.ecx, vendor.edx);
        if (entry.function == 0x4000'0000)
            std::tie(entry.ebx, entry.ecx, entry.edx) = std::tuple(0x4b4d564bU, 0x564b4d56U, 0x4dU);
    }
    return entries;
}

kvm_cpuid_entry2 find(const std::vector<kvm_cpuid_entry2>& entries, uint32_t leaf, uint32_t subleaf = 0) {
    for (const auto& entry : entries)
        if (entry.function == leaf && entry.index == subleaf) return entry;
    return {};
}

// By leaf and subleaf: `leaf subleaf eax ebx ecx edx`, and `+` where subleaves are told apart.
std::string text_of(std::vector<kvm_cpuid_entry2> entries) {
    std::ranges::sort(entries, {}, [](const auto& entry) { return std::pair(entry.function, entry.index); });
    std::string text = "\n";
    for (const auto& entry : entries) {
        text += fmt::format("{:08x} {:02x} {:08x} {:08x} {:08x} {:08x}{}\n", entry.function, entry.index,
                            entry.eax, entry.ebx, entry.ecx, entry.edx,
                            entry.flags == KVM_CPUID_FLAG_SIGNIFCANT_INDEX ? " +" : "");
    }
    return text;
}

// What follows are the two processors of machine version 1. A saved machine counts on every bit of them.
TEST(CpuidBaseline, OfARichIntelHostThisShowsAndNothingElse) {
    const auto entries =
        make_cpuid_baseline(generous_host(kIntel), {.vcpu_count = 4, .threads_per_core = 2}).value();

    EXPECT_EQ(text_of(entries), R"(
00000000 00 0000000d 756e6547 6c65746e 49656e69
00000001 00 00050657 00040800 f7f83203 178bfbfd
00000004 00 0c004121 01c0003f 0000003f 00000000 +
00000004 01 0c004122 01c0003f 0000003f 00000000 +
00000004 02 0c004143 03c0003f 000003ff 00000000 +
00000004 03 0c00c163 03c0003f 00003fff 00000000 +
00000004 04 00000000 00000000 00000000 00000000 +
00000007 00 00000000 009c01ab 00000000 bc000400 +
0000000b 00 00000001 00000002 00000100 00000000 +
0000000b 01 00000002 00000004 00000201 00000000 +
0000000b 02 00000000 00000000 00000002 00000000 +
0000000d 00 00000007 00000340 00000340 00000000 +
0000000d 01 00000001 00000000 00000000 00000000 +
0000000d 02 00000100 00000240 00000000 00000000 +
40000000 00 40000001 4b4d564b 564b4d56 0000004d
40000001 00 010038cb 00000000 00000000 00000000
80000000 00 80000008 00000000 00000000 00000000
80000001 00 00000000 00000000 00000121 2c100800
80000002 00 6f636c41 76206576 75747269 70206c61
80000003 00 65636f72 726f7373 6576202c 6f697372
80000004 00 0031206e 00000000 00000000 00000000
80000008 00 00003027 0703d000 00000000 00000000
80000021 00 38000144 00000000 00000000 00000000
)");
}

TEST(CpuidBaseline, OfARichAmdHostThisShowsAndNothingElse) {
    const auto entries =
        make_cpuid_baseline(generous_host(kAmd), {.vcpu_count = 4, .threads_per_core = 2}).value();

    EXPECT_EQ(text_of(entries), R"(
00000000 00 0000000d 68747541 444d4163 69746e65
00000001 00 00830f10 00040800 f7f83203 178bfbfd
00000007 00 00000000 009c01ab 00000000 bc000400 +
0000000b 00 00000001 00000002 00000100 00000000 +
0000000b 01 00000002 00000004 00000201 00000000 +
0000000b 02 00000000 00000000 00000002 00000000 +
0000000d 00 00000007 00000340 00000340 00000000 +
0000000d 01 00000001 00000000 00000000 00000000 +
0000000d 02 00000100 00000240 00000000 00000000 +
40000000 00 40000001 4b4d564b 564b4d56 0000004d
40000001 00 010038cb 00000000 00000000 00000000
80000000 00 80000021 68747541 444d4163 69746e65
80000001 00 00830f10 00000000 00000133 2c100800
80000002 00 6f636c41 76206576 75747269 70206c61
80000003 00 65636f72 726f7373 6576202c 6f697372
80000004 00 0031206e 00000000 00000000 00000000
80000005 00 00000000 00000000 20080140 20080140
80000006 00 00000000 00000000 02006140 00809140
80000008 00 00003027 0703d000 00002003 00000000
80000021 00 38000144 00000000 00000000 00000000
)");
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

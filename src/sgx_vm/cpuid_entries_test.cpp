// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/cpuid_entries.hpp"

#include <cstring>

#include <gtest/gtest.h>

#include "support/bits.hpp"

namespace alcove::sgx_vm {
namespace {

constexpr uint32_t kUmip = 1U << 2;

kvm_cpuid_entry2 entry(uint32_t leaf, uint32_t eax = 0, uint32_t ecx = 0) {
    kvm_cpuid_entry2 made{};
    made.function = leaf;
    made.eax = eax;
    made.ecx = ecx;
    return made;
}

TEST(CpuidEntries, TellOfSgxAndItsSections) {
    std::vector<kvm_cpuid_entry2> entries = {entry(0, 0xd), entry(7)};
    const std::vector<kvm_cpuid_entry2> supported = {entry(7, 0, kUmip)};
    const auto sections = sgx::Sections::create({{memory::GuestAddress(4_GiB), 2_MiB}}).value();

    EXPECT_TRUE(add_sgx(entries, supported, {}, sections));

    ASSERT_EQ(entries.size(), 2U + 4U);
    EXPECT_EQ(entries[0].eax, 0x12U);
    EXPECT_EQ(entries[1].ebx, 1U << 2);
    EXPECT_EQ(entries[1].ecx, 1U << 30 | kUmip);
    EXPECT_EQ(entries[4].function, 0x12U);
    EXPECT_EQ(entries[4].index, 2U);
    EXPECT_EQ(entries[4].eax, 1U);
    EXPECT_EQ(entries[4].ebx, 1U) << "4 GiB";
    EXPECT_EQ(entries[4].ecx, 2_MiB | 1);
    EXPECT_EQ(entries[5].eax, 0U) << "the list ends";
}

TEST(CpuidEntries, UmipIsKvmsToGive) {
    std::vector<kvm_cpuid_entry2> entries = {entry(0, 0x20), entry(7)};
    const auto sections = sgx::Sections::create({{memory::GuestAddress(4_GiB), 2_MiB}}).value();

    EXPECT_FALSE(add_sgx(entries, {}, {}, sections));

    EXPECT_EQ(entries[0].eax, 0x20U);
    EXPECT_EQ(entries[1].ecx & kUmip, 0U);
}

TEST(CpuidEntries, AllButAmdsProcessorsHaveSysenterIn64BitMode) {
    const auto of = [](const char* vendor) {  // its first part
        kvm_cpuid_entry2 first = entry(0, 0xd);
        std::memcpy(&first.ebx, vendor, sizeof first.ebx);
        return std::vector{first};
    };
    EXPECT_TRUE(has_sysenter(of("GenuineIntel")));
    EXPECT_FALSE(has_sysenter(of("AuthenticAMD")));
    EXPECT_TRUE(has_sysenter({}));
}

}  // namespace
}  // namespace alcove::sgx_vm

// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/inside_msrs.hpp"

#include <map>

#include <gtest/gtest.h>

namespace alcove::sgx_vm {
namespace {

struct FakeVcpu {
    mutable std::map<uint32_t, uint64_t> msrs;

    Result<uint64_t> msr(uint32_t index) const { return msrs.at(index); }
    Result<void> set_msr(uint32_t index, uint64_t value) const {
        msrs.at(index) = value;
        return {};
    }
    bool operator==(const FakeVcpu&) const = default;
};

const FakeVcpu kOutside{{{InsideMsrs::MISC_FEATURES_ENABLES, 2}, {InsideMsrs::IA32_SYSENTER_CS, 0x10}}};

TEST(InsideMsrs, WhereSysenterExistsItHasNowhereToGo) {
    auto vcpu = kOutside;
    InsideMsrs msrs(true);

    ASSERT_TRUE(msrs.enter(vcpu));
    EXPECT_EQ(vcpu.msrs.at(InsideMsrs::MISC_FEATURES_ENABLES), 3U);
    EXPECT_EQ(vcpu.msrs.at(InsideMsrs::IA32_SYSENTER_CS), 0U);

    ASSERT_TRUE(msrs.leave(vcpu));
    EXPECT_EQ(vcpu, kOutside);
}

TEST(InsideMsrs, WhatTheGuestChangesOutsideIsWhatComesBack) {
    auto vcpu = kOutside;
    InsideMsrs msrs(true);
    ASSERT_TRUE(msrs.enter(vcpu));
    ASSERT_TRUE(msrs.leave(vcpu));
    vcpu.msrs.at(InsideMsrs::IA32_SYSENTER_CS) = 0x20;

    ASSERT_TRUE(msrs.enter(vcpu));
    ASSERT_TRUE(msrs.leave(vcpu));

    EXPECT_EQ(vcpu.msrs.at(InsideMsrs::IA32_SYSENTER_CS), 0x20U);
}

TEST(InsideMsrs, WhereItDoesNotNothingIsAskedOfKvmForIt) {
    FakeVcpu vcpu{{{InsideMsrs::MISC_FEATURES_ENABLES, 0}}};
    InsideMsrs msrs(false);

    ASSERT_TRUE(msrs.enter(vcpu));
    EXPECT_EQ(vcpu.msrs.at(InsideMsrs::MISC_FEATURES_ENABLES), 1U);
    ASSERT_TRUE(msrs.leave(vcpu));
    EXPECT_EQ(vcpu.msrs.at(InsideMsrs::MISC_FEATURES_ENABLES), 0U);
}

}  // namespace
}  // namespace alcove::sgx_vm

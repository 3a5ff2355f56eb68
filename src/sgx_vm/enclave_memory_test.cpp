// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/enclave_memory.hpp"

#include <gtest/gtest.h>

#include "sgx/enclave_maker.hpp"
#include "sgx_vm/private_pages.hpp"
#include "sgx_vm/table_maker_test.hpp"

namespace alcove::sgx_vm {
namespace {

using sgx::Access;
using sgx::TestEnclave;
namespace pfec = sgx::pfec;

constexpr memory::GuestAddress kOnes(0x20'0000'0000);
constexpr uint64_t kOrdinary = 0x40'0000;  // linear, outside of the enclave

class EnclaveMemoryTest : public testing::Test {
  protected:
    EnclaveMemoryTest() {
        for (uint32_t page = 0; page < 7; ++page)
            tables_.map(enclave_.at(page), address(enclave_.epc(page)), kForRing3);
        tables_.map(kOrdinary, 0x3000, kForRing3);
        EXPECT_EQ(maker_.enter(enclave_.tcs()), sgx::success());
        memory_.enter(cpu_.processor(), guest_, tables_.root());
    }
    uint64_t address(sgx::PageIndex page) { return machine_.engine().sections().address_of(page).value(); }
    std::optional<sgx::Exception> fault(uint64_t linear, Access access) {
        const auto outcome = memory_.fault(cpu_.processor(), guest_, linear, access);
        const auto* exception = outcome.ended_with<sgx::Exception>();
        return exception != nullptr ? std::optional(*exception) : std::nullopt;
    }
    std::optional<ShadowPage> shadow(uint64_t linear) const { return memory_.tables().find(linear); }

    sgx::FakeMachine machine_;
    sgx::FakeCpu cpu_{machine_, 0};
    sgx::EnclaveMaker maker_{cpu_};
    TestEnclave enclave_ = TestEnclave::make(maker_);
    std::shared_ptr<const memory::GuestMemory> ram_{std::shared_ptr<void>(), &machine_.ram()};
    GuestPhysical physical_{ram_};
    TableMaker tables_{*ram_, 3_MiB};
    GuestPageTables guest_{physical_, {.cr3 = tables_.root()}};
    PrivatePages pages_ = PrivatePages::create(memory::GuestAddress(0x10'0000'0000), 1).value();
    EnclaveMemory memory_{pages_.make_tables(0), machine_.engine(), kOnes};
};

TEST_F(EnclaveMemoryTest, RightsAreThoseOfTablesAndEpcm) {
    EXPECT_EQ(fault(enclave_.at(2), Access::Execute), std::nullopt);
    EXPECT_EQ(shadow(enclave_.at(2))->page.value(), address(enclave_.epc(2)));
    EXPECT_TRUE(shadow(enclave_.at(2))->executable && !shadow(enclave_.at(2))->writable);

    EXPECT_EQ(fault(enclave_.data(), Access::Read), std::nullopt);
    EXPECT_FALSE(shadow(enclave_.data())->writable) << "a clean page";
    EXPECT_EQ(fault(enclave_.data(), Access::Write), std::nullopt);
    EXPECT_TRUE(shadow(enclave_.data())->writable && !shadow(enclave_.data())->executable);
    EXPECT_NE(tables_.entry(enclave_.data()) & paging::D, 0U);
}

TEST_F(EnclaveMemoryTest, WhatTheEpcmForbidsIsAPageFaultOfSgx) {
    const auto forbidden = [&](uint64_t linear, Access access, uint32_t bits) {
        const sgx::Exception expected{sgx::vector::PF, pfec::P | pfec::U | pfec::SGX | bits, linear};
        EXPECT_EQ(fault(linear, access), expected);
        EXPECT_EQ(shadow(linear), std::nullopt);
    };
    forbidden(enclave_.at(2), Access::Write, pfec::W);
    forbidden(enclave_.tcs(), Access::Read, 0);
    tables_.map(enclave_.data(), address(enclave_.epc(4)), kForRing3);  // another page of it
    forbidden(enclave_.data(), Access::Read, 0);
    tables_.map(enclave_.data(), 0x3000, kForRing3);  // RAM
    forbidden(enclave_.data(), Access::Read, 0);
}

TEST_F(EnclaveMemoryTest, OutsideItsRangeEpcIsOnesAndNothingIsExecuted) {
    tables_.map(kOrdinary + 4_KiB, address(enclave_.epc(3)), kForRing3);

    EXPECT_EQ(fault(kOrdinary, Access::Write), std::nullopt);
    EXPECT_EQ(shadow(kOrdinary), (ShadowPage{memory::GuestAddress(0x3000), true, false}));
    EXPECT_EQ(fault(kOrdinary + 4_KiB, Access::Read), std::nullopt);
    EXPECT_EQ(shadow(kOrdinary + 4_KiB)->page, kOnes);
    EXPECT_EQ(fault(kOrdinary, Access::Execute), sgx::kGeneralProtection);
}

TEST_F(EnclaveMemoryTest, AtTheNextEntryOnlyWhatStillHoldsIsKept) {
    ASSERT_EQ(fault(enclave_.data(), Access::Write), std::nullopt);
    ASSERT_EQ(fault(enclave_.data2(), Access::Write), std::nullopt);
    ASSERT_EQ(fault(enclave_.at(2), Access::Execute), std::nullopt);
    ASSERT_EQ(fault(kOrdinary, Access::Read), std::nullopt);
    tables_.map(enclave_.data(), address(enclave_.epc(3)), kPresent | paging::US | paging::A);  // read-only
    tables_.map(kOrdinary, 0x4000, kForRing3 | paging::A);                                      // elsewhere

    memory_.enter(cpu_.processor(), guest_, tables_.root());

    EXPECT_EQ(shadow(enclave_.data()), std::nullopt);
    EXPECT_EQ(shadow(kOrdinary), std::nullopt);
    EXPECT_TRUE(shadow(enclave_.data2()).has_value());
    EXPECT_TRUE(shadow(enclave_.at(2)).has_value());
}

TEST_F(EnclaveMemoryTest, ATakenAccessedBitOrABlockedPageEndsATranslation) {
    ASSERT_EQ(fault(enclave_.data(), Access::Read), std::nullopt);
    ASSERT_EQ(fault(enclave_.data2(), Access::Read), std::nullopt);
    tables_.map(enclave_.data(), address(enclave_.epc(3)), kForRing3);  // without A
    cpu_.set_cpl(0);
    ASSERT_EQ(maker_.eblock(enclave_.epc(4)), sgx::success());

    memory_.enter(cpu_.processor(), guest_, tables_.root());

    EXPECT_TRUE(memory_.tables().pages().empty());
}

TEST_F(EnclaveMemoryTest, AnotherAddressSpaceBeginsEmpty) {
    ASSERT_EQ(fault(enclave_.data(), Access::Read), std::nullopt);

    memory_.enter(cpu_.processor(), guest_, tables_.root() + 4_KiB);

    EXPECT_TRUE(memory_.tables().pages().empty());
}

// What CR3 says is what makes a processor forget.
TEST_F(EnclaveMemoryTest, TablesThatLostPagesHaveAnotherRootNext) {
    ASSERT_EQ(fault(enclave_.data(), Access::Read), std::nullopt);
    const uint64_t root = memory_.resume();
    EXPECT_EQ(memory_.resume(), root) << "nothing was lost";
    EXPECT_FALSE(memory_.give_up(enclave_.epc(3))) << "in use";
    memory_.pause();

    EXPECT_TRUE(memory_.give_up(enclave_.epc(3)));

    EXPECT_NE(memory_.resume(), root);
}

TEST_F(EnclaveMemoryTest, TablesThatLostPagesAndBeganAnewHaveAnotherRootToo) {
    ASSERT_EQ(fault(enclave_.data(), Access::Read), std::nullopt);
    const uint64_t root = memory_.resume();
    memory_.pause();
    ASSERT_TRUE(memory_.give_up(enclave_.epc(3)));
    ASSERT_EQ(fault(kOrdinary, Access::Read), std::nullopt);
    uint64_t linear = kOrdinary;
    do {  // each takes a table of its own
        linear += 2_MiB;
        tables_.put(tables_.place(linear, 2), tables_.entry(kOrdinary, 2));
        ASSERT_EQ(fault(linear, Access::Read), std::nullopt);
    } while (memory_.tables().pages().size() > 1);

    EXPECT_NE(memory_.resume(), root);
}

TEST_F(EnclaveMemoryTest, CodeIsFetchedFromThePagesOfTheEnclaveAlone) {
    Bytes bytes(15);
    EXPECT_EQ(memory_.fetch(cpu_.processor(), guest_, enclave_.at(2), bytes).value(), 15U);
    EXPECT_EQ(memory_.fetch(cpu_.processor(), guest_, enclave_.at(3) - 5, bytes).value(), 5U);
    EXPECT_EQ(memory_.fetch(cpu_.processor(), guest_, kOrdinary, bytes).value(), 0U);
}

}  // namespace
}  // namespace alcove::sgx_vm

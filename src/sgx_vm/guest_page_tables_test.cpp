// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/guest_page_tables.hpp"

#include <gtest/gtest.h>

#include "sgx_vm/table_maker_test.hpp"

namespace alcove::sgx_vm {
namespace {

using sgx::Access;
namespace pfec = sgx::pfec;

constexpr uint64_t kLinear = 0x7f12'3456'7000;
constexpr uint64_t kPage = 0x3000;
constexpr Requester kKernel{.cpl = 0};
constexpr Requester kUser{.cpl = 3};

class GuestPageTablesTest : public testing::Test {
  protected:
    GuestPageTables tables(PagingMode mode = {}) {
        mode.cr3 = maker_.root();
        return {physical_, mode};
    }
    std::optional<sgx::Exception> fault(Access access, Requester who, PagingMode mode = {},
                                        uint64_t linear = kLinear) {
        const auto walk = tables(mode).walk(linear, access, who);
        const auto* exception = walk.ended_with<sgx::Exception>();
        return exception != nullptr ? std::optional(*exception) : std::nullopt;
    }
    static sgx::Exception page_fault(uint32_t error) {
        return {.vector = sgx::vector::PF, .error_code = error, .address = kLinear};
    }

    std::shared_ptr<memory::GuestMemory> ram_ =
        memory::GuestMemory::create_anonymous({memory::GuestAddress(0), 1_MiB}).value();
    GuestPhysical physical_{ram_};
    TableMaker maker_{*ram_, 0x10000};
};

TEST_F(GuestPageTablesTest, AWalkGivesAddressAndRights) {
    maker_.map(kLinear, kPage, kForRing3 | paging::XD);

    const auto walk = tables().walk(kLinear + 0x123, Access::Read, kUser);

    ASSERT_TRUE(walk.has_value());
    EXPECT_EQ((*walk).address.value(), kPage + 0x123);
    EXPECT_TRUE((*walk).writable && (*walk).user && !(*walk).executable && !(*walk).dirty);
}

TEST_F(GuestPageTablesTest, AccessedAndDirtyAreSetAsAProcessorSetsThem) {
    maker_.map(kLinear, kPage, kForRing3);

    ASSERT_TRUE(tables().walk(kLinear, Access::Read, kUser).has_value());
    EXPECT_EQ(maker_.entry(kLinear), kPage | kForRing3 | paging::A);
    EXPECT_NE(maker_.entry(kLinear, 4) & paging::A, 0U);

    ASSERT_TRUE(tables().walk(kLinear, Access::Write, kUser).has_value());
    EXPECT_EQ(maker_.entry(kLinear), kPage | kForRing3 | paging::A | paging::D);
    EXPECT_EQ(maker_.entry(kLinear, 2) & paging::D, 0U);
}

TEST_F(GuestPageTablesTest, AFaultMarksNothingAndSaysWhy) {
    EXPECT_EQ(fault(Access::Write, kUser), page_fault(pfec::U | pfec::W));

    maker_.map(kLinear, kPage, kWritable);
    EXPECT_EQ(fault(Access::Execute, kUser), page_fault(pfec::P | pfec::U | pfec::I));
    EXPECT_EQ(maker_.entry(kLinear), kPage | kWritable);

    maker_.map(kLinear, kPage, kPresent | paging::US);
    EXPECT_EQ(fault(Access::Write, kUser), page_fault(pfec::P | pfec::U | pfec::W));
}

TEST_F(GuestPageTablesTest, RingZeroIsHeldByWpSmepAndSmap) {
    maker_.map(kLinear, kPage, kPresent | paging::US);

    EXPECT_EQ(fault(Access::Write, kKernel), page_fault(pfec::P | pfec::W));
    EXPECT_EQ(fault(Access::Write, kKernel, {.write_protect = false}), std::nullopt);
    EXPECT_EQ(fault(Access::Execute, kKernel, {.smep = true}), page_fault(pfec::P | pfec::I));
    EXPECT_EQ(fault(Access::Read, kKernel, {.smap = true}), page_fault(pfec::P));
    EXPECT_EQ(fault(Access::Read, {.cpl = 0, .ac = true}, {.smap = true}), std::nullopt);
}

TEST_F(GuestPageTablesTest, ReservedBitsFault) {
    maker_.map(kLinear, kPage, kForRing3 | paging::XD);
    EXPECT_EQ(fault(Access::Read, kUser, {.no_execute = false}),
              page_fault(pfec::P | pfec::U | paging::kReservedBit));

    maker_.map(kLinear, uint64_t{1} << 40, kForRing3);
    EXPECT_EQ(fault(Access::Read, kUser), page_fault(pfec::P | pfec::U | paging::kReservedBit));
}

TEST_F(GuestPageTablesTest, LargePagesAreWalkedAndTheirLowBitsReserved) {
    const uint64_t linear = align_down<uint64_t>(kLinear, 2_MiB);
    maker_.map(linear, 4_MiB, kForRing3, 2);
    const auto walk = tables().walk(linear + 0x12345, Access::Read, kUser);
    ASSERT_TRUE(walk.has_value());
    EXPECT_EQ((*walk).address.value(), 4_MiB + 0x12345);

    maker_.map(linear, 4_MiB + 0x4000, kForRing3, 2);
    EXPECT_TRUE(fault(Access::Read, kUser, {}, linear).has_value());
}

TEST_F(GuestPageTablesTest, TablesWhereNoRamIsAreOnes) {
    maker_.put(maker_.place(kLinear, 3), (512_GiB - 4_KiB) | kForRing3);

    EXPECT_EQ(fault(Access::Read, kUser), page_fault(pfec::P | pfec::U | paging::kReservedBit));
}

TEST_F(GuestPageTablesTest, AnAddressThatIsNotCanonicalIsAGeneralProtection) {
    EXPECT_EQ(fault(Access::Read, kKernel, {}, uint64_t{1} << 47), sgx::kGeneralProtection);
}

TEST_F(GuestPageTablesTest, BytesGoAcrossPagesAndAWriteIsWholeOrNotAtAll) {
    maker_.map(kLinear, kPage, kForRing3);
    maker_.map(kLinear + 4_KiB, kPage + 8_KiB, kForRing3);
    const Bytes bytes = {1, 2, 3, 4};
    ASSERT_TRUE(tables().write(kLinear + 4_KiB - 2, bytes, kUser).has_value());
    Bytes back(4);
    ASSERT_TRUE(tables().read(kLinear + 4_KiB - 2, back, Access::Read, kUser).has_value());
    EXPECT_EQ(back, bytes);
    EXPECT_EQ(ram_->read<uint8_t>(memory::GuestAddress(kPage + 8_KiB)).value(), 3);

    maker_.map(kLinear + 4_KiB, kPage + 8_KiB, kPresent | paging::US);
    EXPECT_FALSE(tables().write(kLinear + 4_KiB - 2, Bytes(4, 9), kUser).has_value());
    EXPECT_EQ(ram_->read<uint8_t>(memory::GuestAddress(kPage + 4_KiB - 2)).value(), 1);
}

}  // namespace
}  // namespace alcove::sgx_vm

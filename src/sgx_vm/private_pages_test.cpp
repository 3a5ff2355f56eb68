// SPDX-License-Identifier: Apache-2.0
//
// Private pages and shadow tables, walked as a processor walks them.
#include "sgx_vm/private_pages.hpp"

#include <gtest/gtest.h>

namespace alcove::sgx_vm {
namespace {

constexpr memory::GuestAddress kBase(0x10'0000'0000);
constexpr Requester kRing3{.cpl = 3};
constexpr uint64_t kMapped = 0x7f00'0000'0000;
constexpr ShadowPage kCode{.page = memory::GuestAddress(0x5000), .writable = false, .executable = true};
constexpr ShadowPage kData{.page = memory::GuestAddress(0x6000), .writable = true, .executable = false};

class PrivatePagesTest : public testing::Test {
  protected:
    // The memory as it is now.
    GuestPageTables walker(const ShadowTables& tables) {
        ram_ = memory::GuestMemory::create_anonymous(pages_.range()).value();
        const ByteView bytes(reinterpret_cast<const uint8_t*>(pages_.host_address()), pages_.range().size);
        ram_->write_bytes(kBase, bytes).value();
        physical_.emplace(ram_);
        return {*physical_, {.cr3 = tables.root()}};
    }
    uint8_t* stack(uint32_t vcpu) {  // behind GDT, IDT, stubs; a TSS first
        return reinterpret_cast<uint8_t*>(pages_.host_address()) +
               (3 + vcpu * (2 + PrivatePages::kTablePages) + 1) * 4096;
    }

    PrivatePages pages_ = PrivatePages::create(kBase, 2).value();
    std::shared_ptr<memory::GuestMemory> ram_;
    std::optional<GuestPhysical> physical_;
};

TEST_F(PrivatePagesTest, EveryVectorHasAStubThatNamesIt) {
    const auto tables = pages_.make_tables(1);
    const auto guest = walker(tables);
    kvm_sregs special{};
    PrivatePages::put_environment(special);

    for (unsigned vector = 0; vector < 256; ++vector) {
        const auto stub = handler_of(guest, special.idt, static_cast<uint8_t>(vector));
        ASSERT_TRUE(stub.has_value()) << vector;
        EXPECT_EQ(PrivatePages::vector_at(*stub), vector);
        EXPECT_EQ(PrivatePages::vector_at(*stub + 2), vector) << "behind the OUT";
        Bytes first(1);
        ASSERT_TRUE(guest.read(*stub, first, sgx::Access::Execute, {.cpl = 0}).has_value());
        EXPECT_EQ(first[0], 0xe6) << "OUT";
    }
    EXPECT_EQ(PrivatePages::vector_at(0), std::nullopt);
}

TEST_F(PrivatePagesTest, RingThreeReachesNoneOfThem) {
    const auto tables = pages_.make_tables(0);
    const auto guest = walker(tables);

    for (uint64_t page = 0; page < 5; ++page)
        EXPECT_FALSE(guest.walk(kOwnBase + page * 4096, sgx::Access::Read, kRing3).has_value()) << page;
}

TEST_F(PrivatePagesTest, AFrameIsReadWithAndWithoutErrorCode) {
    const uint64_t stacks = kOwnBase + 4 * 4096;
    const InterruptFrame frame{.rip = 7, .cs = 0x33, .rflags = 2, .rsp = 9, .ss = 0x2b};
    std::memcpy(stack(1) + 1024 - 40, &frame, sizeof frame);
    const Le64 error(0x15);
    std::memcpy(stack(1) + 1024 - 48, &error, sizeof error);

    const auto plain = pages_.read_stack(1, stacks + 1024 - 40);
    ASSERT_TRUE(plain.has_value());
    EXPECT_EQ(plain->frame.rip, 7U);
    EXPECT_EQ(plain->error_code, std::nullopt);
    const auto with_code = pages_.read_stack(1, stacks + 1024 - 48);
    ASSERT_TRUE(with_code.has_value());
    EXPECT_EQ(with_code->frame.ss, 0x2bU);
    EXPECT_EQ(with_code->error_code, 0x15U);
    for (const uint64_t rsp : {stacks + 1024, stacks + 8, stacks + 4096, uint64_t{0}})
        EXPECT_FALSE(pages_.read_stack(1, rsp).has_value()) << rsp;
}

TEST_F(PrivatePagesTest, ShadowTablesGiveWhatWasMappedAndNoMore) {
    auto tables = pages_.make_tables(0);
    ASSERT_TRUE(tables.map(kMapped, kCode));
    ASSERT_TRUE(tables.map(kMapped + 4096, kData));
    const auto guest = walker(tables);

    const auto code = guest.walk(kMapped + 5, sgx::Access::Execute, kRing3);
    ASSERT_TRUE(code.has_value());
    EXPECT_EQ((*code).address.value(), 0x5005U);
    EXPECT_FALSE(guest.walk(kMapped, sgx::Access::Write, kRing3).has_value());
    EXPECT_TRUE(guest.walk(kMapped + 4096, sgx::Access::Write, kRing3).has_value());
    EXPECT_FALSE(guest.walk(kMapped + 4096, sgx::Access::Execute, kRing3).has_value());
    EXPECT_FALSE(guest.walk(kMapped + 8192, sgx::Access::Read, kRing3).has_value());
}

TEST_F(PrivatePagesTest, WhatIsUnmappedOrResetIsGone) {
    auto tables = pages_.make_tables(0);
    ASSERT_TRUE(tables.map(kMapped, kCode));
    ASSERT_TRUE(tables.map(kMapped + 4096, kData));
    const uint64_t root = tables.root();

    tables.unmap(kMapped);
    EXPECT_FALSE(walker(tables).walk(kMapped, sgx::Access::Read, kRing3).has_value());
    EXPECT_EQ(tables.find(kMapped), std::nullopt);
    tables.reset();
    EXPECT_NE(tables.root(), root) << "another CR3 makes a processor forget";
    EXPECT_FALSE(walker(tables).walk(kMapped + 4096, sgx::Access::Read, kRing3).has_value());
    EXPECT_TRUE(tables.pages().empty());
}

TEST_F(PrivatePagesTest, TablesThatRunOutStartOver) {
    auto tables = pages_.make_tables(0);
    for (uint64_t i = 0; i < 4 * PrivatePages::kTablePages; ++i)
        ASSERT_TRUE(tables.map(i * 2_MiB, kData));

    EXPECT_LT(tables.pages().size(), PrivatePages::kTablePages);
    const auto guest = walker(tables);
    EXPECT_TRUE(
        guest.walk((4 * PrivatePages::kTablePages - 1) * 2_MiB, sgx::Access::Read, kRing3).has_value());
    EXPECT_TRUE(guest.walk(kOwnBase, sgx::Access::Read, {.cpl = 0}).has_value());
}

TEST_F(PrivatePagesTest, OurOwnPlaceIsNotForOthers) {
    auto tables = pages_.make_tables(0);

    EXPECT_FALSE(tables.map(kOwnBase, kData));
    EXPECT_FALSE(tables.map(kOwnBase + 512_GiB - 1, kData));
    EXPECT_TRUE(tables.map(kOwnBase - 1, kData));
}

}  // namespace
}  // namespace alcove::sgx_vm

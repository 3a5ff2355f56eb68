// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/interrupt_frame.hpp"

#include <gtest/gtest.h>

#include "sgx_vm/table_maker_test.hpp"

namespace alcove::sgx_vm {
namespace {

constexpr uint64_t kFrame = 0xffff'8000'0000'0000;
constexpr uint64_t kGdt = kFrame;
constexpr uint64_t kIdt = kFrame + 0x100;
constexpr uint64_t kStack = kFrame + 0x800;
constexpr uint16_t kKernelCode = 0x08;
constexpr uint16_t kUserData = 0x23;
constexpr uint16_t kUserCode = 0x2b;

class InterruptFrameTest : public testing::Test {
  protected:
    InterruptFrameTest() {
        maker_.map(kFrame, 0x3000, kWritable);
        put(kGdt + 8, 0x00af'9b00'0000'ffff);
        put(kGdt + 0x20, 0x00cf'f300'0000'ffff);
        put(kGdt + 0x28, 0x00af'fb00'0000'ffff);
        in_handler_.gdt = {.base = kGdt, .limit = 0x2f, .padding = {}};
        in_handler_.idt = {.base = kIdt, .limit = 0x6f, .padding = {}};
        in_handler_.cs.selector = kKernelCode;
    }
    void put(uint64_t linear, uint64_t value) {
        ram_->write<Le64>(memory::GuestAddress(linear - kFrame + 0x3000), value).value();
    }
    GuestPageTables tables() { return {physical_, {.cr3 = maker_.root()}}; }

    std::shared_ptr<memory::GuestMemory> ram_ =
        memory::GuestMemory::create_anonymous({memory::GuestAddress(0), 1_MiB}).value();
    GuestPhysical physical_{ram_};
    TableMaker maker_{*ram_, 0x10000};
    kvm_sregs in_handler_{};
};

TEST_F(InterruptFrameTest, AHandlerIsFoundInItsGate) {
    put(kIdt + 0x60, 0x8234'8e00'0008'5678);
    put(kIdt + 0x68, 0xffff'ffff);
    EXPECT_EQ(handler_of(tables(), in_handler_.idt, 6), 0xffff'ffff'8234'5678);

    put(kIdt + 0x60, 0x8234'0e00'0008'5678);  // not present
    EXPECT_EQ(handler_of(tables(), in_handler_.idt, 6), std::nullopt);
    EXPECT_EQ(handler_of(tables(), in_handler_.idt, 7), std::nullopt);  // behind the limit
}

TEST_F(InterruptFrameTest, AFrameOfRingThreeBringsBackItsSegments) {
    const uint64_t words[] = {0x1111, kUserCode, 0x202, 0x2222, kUserData};
    for (size_t i = 0; i < 5; ++i)
        put(kStack + 8 * i, words[i]);

    const auto frame = read_frame(tables(), kStack);
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->rip, 0x1111U);
    EXPECT_EQ(frame->cpl(), 3);
    const auto before = unwind(tables(), in_handler_, *frame);

    ASSERT_TRUE(before.has_value());
    EXPECT_EQ(before->cs.selector, kUserCode);
    EXPECT_EQ(before->cs.dpl, 3);
    EXPECT_EQ(before->cs.l, 1);
    EXPECT_EQ(before->ss.selector, kUserData);
    EXPECT_EQ(before->ss.dpl, 3);
    EXPECT_EQ(before->ss.limit, 0xffff'ffffU);
}

TEST_F(InterruptFrameTest, AFrameOfTheSameRingKeepsThem) {
    in_handler_.cs.l = 1;
    in_handler_.ss.unusable = 1;

    const auto before =
        unwind(tables(), in_handler_, {.rip = 1, .cs = kKernelCode, .rflags = 2, .rsp = 3, .ss = 0x18});

    ASSERT_TRUE(before.has_value());
    EXPECT_EQ(before->cs.l, 1);
    EXPECT_EQ(before->ss.selector, 0x18);
}

TEST_F(InterruptFrameTest, WhatNoProcessorPushesIsRefused) {
    const InterruptFrame good{.rip = 1, .cs = kUserCode, .rflags = 2, .rsp = 3, .ss = kUserData};
    for (const uint64_t cs : {0x33UL, 0x23UL, 0x28UL, 0x03UL}) {  // beyond the table, data, wrong ring, null
        auto frame = good;
        frame.cs = cs;
        EXPECT_FALSE(unwind(tables(), in_handler_, frame).has_value()) << cs;
    }
    for (const uint64_t ss : {0x2bUL, 0x3bUL, 0x00UL}) {
        auto frame = good;
        frame.ss = ss;
        EXPECT_FALSE(unwind(tables(), in_handler_, frame).has_value()) << ss;
    }
    EXPECT_FALSE(read_frame(tables(), kFrame + 0x1000 - 8).has_value());
}

}  // namespace
}  // namespace alcove::sgx_vm

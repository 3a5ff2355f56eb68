// SPDX-License-Identifier: Apache-2.0
#include "vsock/credit.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace alcove::vsock {
namespace {

TEST(ReceiveCredit, TheWindowBoundsWhatIsHeld) {
    ReceiveCredit credit(1000);

    EXPECT_TRUE(credit.receive(600));
    EXPECT_FALSE(credit.receive(401));
    EXPECT_TRUE(credit.receive(400));
    EXPECT_FALSE(credit.receive(1));
    credit.forward(1);
    EXPECT_TRUE(credit.receive(1));
    EXPECT_EQ(credit.held(), 1000U);
    EXPECT_FALSE(credit.receive(0xffffffff));
}

TEST(ReceiveCredit, TheGuestIsToldAtHalfOfTheWindow) {
    ReceiveCredit credit(1000);
    ASSERT_TRUE(credit.receive(1000));

    credit.forward(499);
    EXPECT_FALSE(credit.should_tell());
    credit.forward(1);
    EXPECT_TRUE(credit.should_tell());
    credit.told();
    EXPECT_FALSE(credit.should_tell());

    Header header;
    credit.put_into(header);
    EXPECT_EQ(header.buf_alloc, 1000U);
    EXPECT_EQ(header.fwd_cnt, 500U);
}

TEST(ReceiveCredit, CountersWrap) {
    ReceiveCredit credit(0x10000);
    for (int i = 0; i < 70'000; ++i) {
        ASSERT_TRUE(credit.receive(0x10000));
        credit.forward(0x10000);
    }
    EXPECT_EQ(credit.held(), 0U);
}

Header credit_header(uint32_t buffer, uint32_t forwarded) {
    Header header;
    header.buf_alloc = buffer;
    header.fwd_cnt = forwarded;
    return header;
}

TEST(SendCredit, WhatIsInFlightIsNotAvailable) {
    SendCredit credit;
    EXPECT_EQ(credit.available(), 0U);
    credit.take_from(credit_header(1000, 0));
    credit.send(700);
    EXPECT_EQ(credit.available(), 300U);
    credit.take_from(credit_header(1000, 500));
    EXPECT_EQ(credit.available(), 800U);
}

TEST(SendCredit, AGuestThatLiesOnlyStarvesItself) {
    SendCredit credit;
    credit.take_from(credit_header(1000, 5));  // has forwarded what it never got
    EXPECT_EQ(credit.available(), 0U);
    credit.take_from(credit_header(1000, 0));
    credit.send(800);
    credit.take_from(credit_header(100, 0));  // shrinks below what is in flight
    EXPECT_EQ(credit.available(), 0U);
    credit.take_from(credit_header(0xffffffff, 0));
    EXPECT_EQ(credit.available(), 0xffffffffU - 800);
}

TEST(WindowBudget, FewGetMuchAndManyStayInTheBudget) {
    constexpr uint64_t kTotal = 64 * 1024 * 1024;
    WindowBudget budget(kTotal);
    std::vector<uint32_t> windows;
    uint64_t sum = 0;
    for (int i = 0; i < 4096; ++i) {
        windows.push_back(budget.lease());
        sum += windows.back();
    }

    EXPECT_EQ(windows[0], WindowBudget::kMaxWindow);
    EXPECT_GT(windows[63], 256U * 1024);
    EXPECT_EQ(windows[4095], WindowBudget::kMinWindow);
    EXPECT_LE(sum, kTotal + 4096ULL * WindowBudget::kMinWindow);

    for (const uint32_t window : windows)
        budget.give_back(window);
    EXPECT_EQ(budget.lease(), WindowBudget::kMaxWindow);
}

TEST(WindowBudget, SmallestWindowsOnCreditAreRepaidFirst) {
    WindowBudget budget(0);
    const uint32_t first = budget.lease();
    const uint32_t second = budget.lease();
    budget.give_back(first);
    budget.give_back(second);

    EXPECT_EQ(first, WindowBudget::kMinWindow);
    EXPECT_EQ(budget.lease(), WindowBudget::kMinWindow) << "nothing came out of nothing";
}

}  // namespace
}  // namespace alcove::vsock

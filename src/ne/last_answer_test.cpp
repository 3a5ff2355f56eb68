// SPDX-License-Identifier: Apache-2.0
#include "ne/last_answer.hpp"

#include <gtest/gtest.h>

namespace alcove::ne {
namespace {

using Verdict = LastAnswer::Verdict;

TEST(LastAnswer, NumbersFollowOneAnother) {
    LastAnswer last;
    EXPECT_EQ(last.judge(1), Verdict::New);
    EXPECT_EQ(last.judge(0), Verdict::OutOfOrder);
    EXPECT_EQ(last.judge(2), Verdict::OutOfOrder);
}

TEST(LastAnswer, ACommandInHandIsNotBegunTwice) {
    LastAnswer last;
    last.begin(1);

    EXPECT_EQ(last.judge(1), Verdict::InHand);
    EXPECT_EQ(last.judge(2), Verdict::OutOfOrder);
}

TEST(LastAnswer, ACommandThatWasDoneIsAnsweredAgainAfterARestart) {
    LastAnswer before;
    before.begin(1);
    Reply reply{};
    reply.slot_uid = 77;
    before.answer(reply);

    const LastAnswer after(before.saved());

    EXPECT_EQ(after.judge(1), Verdict::Answered);
    EXPECT_EQ(after.reply().slot_uid, 77U);
    EXPECT_EQ(after.judge(2), Verdict::New);
}

TEST(LastAnswer, NumbersWrap) {
    const LastAnswer last({.number = 0xffffffff, .reply = Reply{}});

    EXPECT_EQ(last.judge(0), Verdict::New);
    EXPECT_EQ(last.judge(0xffffffff), Verdict::Answered);
}

TEST(LastAnswer, ZeroAfterWrappingIsANumberLikeOthers) {
    LastAnswer last({.number = 0xffffffff, .reply = Reply{}});
    last.begin(0);
    EXPECT_EQ(last.judge(0), Verdict::InHand);
    last.answer({});
    EXPECT_EQ(last.judge(0), Verdict::Answered);
    EXPECT_EQ(last.judge(1), Verdict::New);
}

}  // namespace
}  // namespace alcove::ne

// SPDX-License-Identifier: Apache-2.0
#include "enclave/sgx_relay.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace alcove::enclave {
namespace {

namespace vmm = api::vmm;

struct SgxRelayTest : testing::Test {
    void ask(uint32_t request, vmm::SgxAction action = vmm::SgxAction::Report) {
        relay.ask({.request = request, .action = static_cast<uint32_t>(action), .mib = {}},
                  [this](Bytes question) { asked.push_back(std::move(question)); });
    }
    vmm::SgxRequest question(size_t index) {
        return api::decode<vmm::SgxRequest>(api::open_envelope(asked.at(index)).value()).value();
    }
    void answer(uint32_t request, uint32_t valid_pages) {
        relay.answer({.request = request, .state = {.valid_pages = valid_pages}});
    }
    vmm::SgxReply told(size_t index) {
        return vmm::decode_sgx_report(api::open_envelope(answers.at(index)).value()).value();
    }
    api::FailedRequest refused(size_t index) {
        return api::decode_failed(api::open_envelope(answers.at(index)).value()).value();
    }

    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    std::vector<Bytes> asked;
    std::vector<Bytes> answers;
    SgxRelay relay{*loop, [this](Bytes answer) { answers.push_back(std::move(answer)); }};
};

TEST_F(SgxRelayTest, EachQuestionHasItsOwnAnswer) {
    ask(70);
    ask(71, vmm::SgxAction::Drop);
    ASSERT_EQ(asked.size(), 2U);
    EXPECT_EQ(question(1).action, static_cast<uint32_t>(vmm::SgxAction::Drop));

    answer(question(1).request, 2);
    answer(question(0).request, 1);

    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(told(0).request, 71U);
    EXPECT_EQ(told(0).state.valid_pages, 2U);
    EXPECT_EQ(told(1).request, 70U);
    EXPECT_EQ(told(1).state.valid_pages, 1U);
}

TEST_F(SgxRelayTest, AnswersToNothingAreDropped) {
    ask(70);
    answer(question(0).request + 1, 0);
    answer(question(0).request, 0);
    answer(question(0).request, 0);

    EXPECT_EQ(answers.size(), 1U);
}

TEST_F(SgxRelayTest, AnAnswerSaysWhatWasAskedAndARefusalIsPassedOn) {
    relay.ask({.request = 70, .action = static_cast<uint32_t>(vmm::SgxAction::SetBudget), .mib = 4},
              [this](Bytes question) { asked.push_back(std::move(question)); });
    ask(71);
    EXPECT_EQ(question(0).mib, 4U);

    const auto answered = relay.answer({.request = question(0).request, .state = {}});
    relay.refuse({.request = question(1).request, .error = Error(ErrorCode::NoSpace, "full")});
    relay.refuse({.request = 999, .error = Error(ErrorCode::NoSpace, "full")});

    ASSERT_TRUE(answered);
    EXPECT_EQ(answered->mib, 4U);
    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(refused(1).request, 71U);
    EXPECT_EQ(refused(1).error.code(), ErrorCode::NoSpace);
}

TEST_F(SgxRelayTest, WhoAsksTooMuchIsTurnedAway) {
    for (uint32_t request = 0; request < 100; ++request)
        ask(request);

    EXPECT_EQ(asked.size(), 16U);
    ASSERT_EQ(answers.size(), 84U);
    EXPECT_EQ(refused(0).error.code(), ErrorCode::Busy);
}

TEST_F(SgxRelayTest, WhenTheVmmIsGoneEverybodyIsTold) {
    ask(70);
    ask(71);
    relay.fail(Error(ErrorCode::EnclaveDied, "it ended"));
    relay.fail(Error(ErrorCode::EnclaveDied, "it ended"));

    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(refused(1).request, 71U);
    EXPECT_EQ(refused(1).error.code(), ErrorCode::EnclaveDied);
}

}  // namespace
}  // namespace alcove::enclave

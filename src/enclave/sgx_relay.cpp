// SPDX-License-Identifier: Apache-2.0
#include "enclave/sgx_relay.hpp"

#include <utility>

namespace alcove::enclave {

namespace vmm = api::vmm;

namespace {
constexpr size_t kMaxSgxQuestions = 16;
}

void SgxRelay::ask(vmm::SgxRequest question, const Send& to_vmm) {
    if (waiting_.size() >= kMaxSgxQuestions)
        return to_daemon_(
            api::encode_failed(question.request, Error(ErrorCode::Busy, "too many requests about SGX")));
    const uint32_t ours = ++last_;
    const bool is_long = vmm::sgx_action_of(question) == vmm::SgxAction::SetBudget;
    const auto timer = loop_.after(is_long ? kBudgetTimeout : kTimeout, [this, ours] {
        fail_one(ours, Error(ErrorCode::Timeout, "the VMM does not answer"));
    });
    waiting_.emplace(ours, Waiting{.question = question, .timer = timer});
    question.request = ours;
    to_vmm(api::encode(question));
}

std::optional<vmm::SgxRequest> SgxRelay::answer(const vmm::SgxReply& reply) {
    const auto node = waiting_.extract(reply.request);
    if (node.empty()) return std::nullopt;  // late, or made up
    const auto& waiting = node.mapped();
    loop_.cancel(waiting.timer);
    to_daemon_(vmm::encode_sgx_report(waiting.question.request, reply.state));
    return waiting.question;
}

void SgxRelay::refuse(const api::FailedRequest& refusal) {
    if (waiting_.contains(refusal.request)) fail_one(refusal.request, refusal.error);
}

void SgxRelay::fail_one(uint32_t ours, const Error& error) {
    const auto node = waiting_.extract(ours);
    loop_.cancel(node.mapped().timer);
    to_daemon_(api::encode_failed(node.mapped().question.request, error));
}

void SgxRelay::fail(const Error& error) {
    while (!waiting_.empty())
        fail_one(waiting_.begin()->first, error);
}

void SgxRelay::forget_waiting() {
    for (const auto& [ours, waiting] : std::exchange(waiting_, {}))
        loop_.cancel(waiting.timer);
}

}  // namespace alcove::enclave

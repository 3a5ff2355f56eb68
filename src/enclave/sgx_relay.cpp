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
    const auto timer = loop_.after(
        kTimeout, [this, ours] { fail_one(ours, Error(ErrorCode::Timeout, "the VMM does not answer")); });
    waiting_.emplace(ours, Waiting{.request = question.request, .timer = timer});
    question.request = ours;
    to_vmm(api::encode(question));
}

void SgxRelay::answer(const vmm::SgxReply& reply) {
    const auto found = waiting_.find(reply.request);
    if (found == waiting_.end()) return;  // late, or made up
    loop_.cancel(found->second.timer);
    to_daemon_(vmm::encode_sgx_report(found->second.request, reply.state));
    waiting_.erase(found);
}

void SgxRelay::fail_one(uint32_t ours, const Error& error) {
    const auto node = waiting_.extract(ours);
    loop_.cancel(node.mapped().timer);
    to_daemon_(api::encode_failed(node.mapped().request, error));
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

// SPDX-License-Identifier: Apache-2.0
#include "enclave/statistics_relay.hpp"

#include <utility>

namespace alcove::enclave {

namespace vmm = api::vmm;

namespace {
constexpr size_t kMaxStatisticsQuestions = 64;
}

void StatisticsRelay::ask(uint32_t request, const Send& to_vmm) {
    if (waiting_.size() >= kMaxStatisticsQuestions)
        return to_daemon_(
            api::encode_failed(request, Error(ErrorCode::Busy, "too many requests for counters")));
    waiting_.push_back(request);
    if (timer_ != 0) return;  // the VMM has been asked; its answer will do for all
    to_vmm(api::encode(vmm::StatisticsRequest{.request = ++request_, .reserved = {}}));
    timer_ = loop_.after(kTimeout, [this] { fail(Error(ErrorCode::Timeout, "the VMM does not answer")); });
}

void StatisticsRelay::answer(const vmm::StatisticsReply& reply) {
    if (timer_ == 0 || reply.request != request_) return;  // late, or made up
    loop_.cancel(std::exchange(timer_, 0));
    for (const uint32_t request : std::exchange(waiting_, {}))
        to_daemon_(vmm::encode_statistics(request, reply.entries));
}

void StatisticsRelay::fail(const Error& error) {
    loop_.cancel(std::exchange(timer_, 0));
    for (const uint32_t request : std::exchange(waiting_, {}))
        to_daemon_(api::encode_failed(request, error));
}

}  // namespace alcove::enclave

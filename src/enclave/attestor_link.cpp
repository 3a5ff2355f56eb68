// SPDX-License-Identifier: Apache-2.0
#include "enclave/attestor_link.hpp"

namespace alcove::enclave {

namespace attestor = api::attestor;

namespace {

Result<Channel::Message> wait_for_answer(const Channel& channel, const std::atomic<bool>& cancelled,
                                         std::chrono::milliseconds timeout) {
    constexpr std::chrono::milliseconds kSlice(50);
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (true) {
        auto answer = channel.receive_within(kSlice);
        if (answer || answer.error().code() != ErrorCode::Timeout) return answer;
        if (cancelled) return fail(ErrorCode::Cancelled, "sealing the measurements was cancelled");
        if (std::chrono::steady_clock::now() >= deadline)
            return fail(ErrorCode::Timeout, "alcove-attestor does not answer");
    }
}

}  // namespace

Result<attestor::ResumeToken> seal_measurements(const Channel& channel, const ImageFacts& facts,
                                                uint32_t flags, const std::atomic<bool>& cancelled,
                                                std::chrono::milliseconds timeout) {
    constexpr uint32_t kSealRequest = 1;
    const attestor::Measured measured{.request = kSealRequest,
                                      .flags = flags,
                                      .pcr0 = facts.pcr0,
                                      .pcr1 = facts.pcr1,
                                      .pcr2 = facts.pcr2,
                                      .pcr8 = facts.pcr8};
    TRY(channel.send(api::encode(measured)));
    const auto answer = TRY(wait_for_answer(channel, cancelled, timeout));
    const auto envelope = TRY(api::open_envelope(answer.data));
    const auto sealed = TRY(api::decode_answer<attestor::Sealed>(envelope));
    if (sealed.request != kSealRequest)
        return fail(ErrorCode::InvalidMessage, "an answer to another request");
    return sealed.token;
}

}  // namespace alcove::enclave

// SPDX-License-Identifier: Apache-2.0
//
// For tests and fuzzers: an attestor in the same thread, with real PCR rules and a stand-in for documents
// (the request's own fields). Answers when told to, so that a test decides what happens in between.
#pragma once

#include <deque>

#include "attestation/pcr_bank.hpp"
#include "nsm/attestor_client.hpp"

namespace alcove::nsm {

class FakeAttestor : public AttestorClient {
  public:
    // Answers from within ask(), which a real client never does: for fuzzers and tests without a loop.
    bool at_once = true;
    std::string module_id = "i-fake-enc0";
    attestation::PcrBank pcrs;
    std::optional<Error> failure;       // given instead of every answer
    std::optional<Bytes> wrong_answer;  // likewise
    Bytes document;                     // what is given as a document; empty: the request's datagram
    size_t asked = 0;

    void ask(uint32_t request, Bytes message, Answer answer) override {
        ++asked;
        waiting_.push_back({request, std::move(message), std::move(answer)});
        if (at_once) deliver();
    }
    // The oldest answer that waits; false when none does.
    bool deliver() {
        if (waiting_.empty()) return false;
        auto next = std::move(waiting_.front());
        waiting_.pop_front();
        if (failure) {
            next.answer(Failure{*failure});
        } else {
            next.answer(wrong_answer ? *wrong_answer : reply(next.request, next.message));
        }
        return true;
    }
    size_t waiting() const { return waiting_.size(); }

  private:
    struct Waiting {
        uint32_t request;
        Bytes message;
        Answer answer;
    };

    Bytes reply(uint32_t request, const Bytes& message) {
        namespace wire = api::attestor;
        const auto envelope = api::open_envelope(message).value();
        const auto status_or = [&](wire::NsmStatus status, Bytes good) {
            if (status == wire::NsmStatus::Success) return good;
            return api::encode(wire::Rejected{.request = request, .status = static_cast<uint32_t>(status)});
        };
        const Bytes done = api::encode(wire::Done{.request = request, .reserved = {}});
        switch (envelope.type) {
            case wire::DescribePcr::kType: {
                const uint32_t index = api::decode<wire::DescribePcr>(envelope)->index;
                return api::encode(wire::PcrDescription{.request = request,
                                                        .locked = pcrs.is_locked(index) ? 1U : 0U,
                                                        .value = pcrs.value(index)});
            }
            case wire::ExtendPcr::kType: {
                const auto extend = api::decode_with_tail<wire::ExtendPcr>(envelope).value();
                const auto status = pcrs.extend(extend.body.index, extend.tail);
                return status_or(
                    status, api::encode(wire::PcrExtended{
                                .request = request, .reserved = {}, .value = pcrs.value(extend.body.index)}));
            }
            case wire::LockPcr::kType:
                return status_or(pcrs.lock(api::decode<wire::LockPcr>(envelope)->index), done);
            case wire::LockPcrs::kType:
                return status_or(pcrs.lock_below(api::decode<wire::LockPcrs>(envelope)->range), done);
            case wire::Describe::kType:
                return api::encode(wire::Description{.request = request,
                                                     .max_pcrs = wire::kPcrCount,
                                                     .locked_pcrs = pcrs.locked(),
                                                     .reserved = {},
                                                     .module_id = api::TextField<128>::of(module_id)});
            case wire::Attest::kType:
                return api::encode(wire::Document{.request = request, .reserved = {}},
                                   document.empty() ? message : document);
            default:
                break;
        }
        return {};  // no request of the protocol: not an answer either
    }

    std::deque<Waiting> waiting_;
};

}  // namespace alcove::nsm

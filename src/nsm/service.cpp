// SPDX-License-Identifier: Apache-2.0
//
// One row for each request: what the attestor is asked, and how its answer reads in CBOR.
#include "nsm/service.hpp"

#include "crypto/random.hpp"
#include "nsm/response.hpp"

namespace alcove::nsm {

namespace {

namespace wire = api::attestor;
using api::decode;
using api::decode_with_tail;
using api::Envelope;

Result<Bytes> encode_rejection(const Envelope& envelope) {
    const auto rejected = TRY(decode<wire::Rejected>(envelope));
    return response::error(static_cast<NsmStatus>(static_cast<uint32_t>(rejected.status)));
}

bool is_error(ByteView response) {
    return response.size() > 2 && response[0] == 0xa1 && response[1] == 0x65;  // {"Error": ...}
}

Bytes random_answer() {
    const auto random = crypto::random_array<response::kRandomSize>();
    return random ? response::get_random(*random) : response::error(NsmStatus::InternalError);
}

}  // namespace

// What to ask, or what to answer without asking.
struct NsmService::Handler {
    struct Question {
        Bytes message;
        Encoder encode;
    };
    using Step = std::variant<Question, Bytes>;

    uint32_t request;

    static Step rejected(NsmStatus status) { return response::error(status); }

    Step operator()(const DescribePCR& asked) const {
        if (asked.index >= wire::kPcrCount) return rejected(NsmStatus::InvalidIndex);
        return Question{
            api::encode(wire::DescribePcr{.request = request, .index = static_cast<uint32_t>(asked.index)}),
            [](const Envelope& envelope) -> Result<Bytes> {
                const auto pcr = TRY(decode<wire::PcrDescription>(envelope));
                return response::describe_pcr(pcr.locked != 0, pcr.value);
            }};
    }

    Step operator()(const ExtendPCR& asked) const {
        if (asked.index >= wire::kPcrCount) return rejected(NsmStatus::InvalidIndex);
        return Question{
            api::encode(wire::ExtendPcr{.request = request, .index = static_cast<uint32_t>(asked.index)},
                        asked.data),
            [](const Envelope& envelope) -> Result<Bytes> {
                const auto extended = TRY(decode<wire::PcrExtended>(envelope));
                return response::extend_pcr(extended.value);
            }};
    }

    Step operator()(const LockPCR& asked) const {
        if (asked.index >= wire::kPcrCount) return rejected(NsmStatus::InvalidIndex);
        return Question{
            api::encode(wire::LockPcr{.request = request, .index = static_cast<uint32_t>(asked.index)}),
            [](const Envelope& envelope) -> Result<Bytes> {
                TRY(decode<wire::Done>(envelope));
                return response::lock_pcr();
            }};
    }

    Step operator()(const LockPCRs& asked) const {
        if (asked.range > wire::kPcrCount) return rejected(NsmStatus::InvalidIndex);
        return Question{
            api::encode(wire::LockPcrs{.request = request, .range = static_cast<uint32_t>(asked.range)}),
            [](const Envelope& envelope) -> Result<Bytes> {
                TRY(decode<wire::Done>(envelope));
                return response::lock_pcrs();
            }};
    }

    Step operator()(const DescribeNSM&) const {
        return Question{api::encode(wire::Describe{.request = request, .reserved = {}}),
                        [](const Envelope& envelope) -> Result<Bytes> {
                            const auto description = TRY(decode<wire::Description>(envelope));
                            const auto module_id = description.module_id.text();
                            if (!module_id)
                                return fail(ErrorCode::InvalidMessage, "the module id is not text");
                            return response::describe_nsm(*module_id, description.max_pcrs,
                                                          description.locked_pcrs);
                        }};
    }

    Step operator()(const Attestation& asked) const {
        wire::AttestFields fields;
        for (const auto& [from, to] :
             {std::pair{&asked.user_data, &fields.user_data}, std::pair{&asked.nonce, &fields.nonce},
              std::pair{&asked.public_key, &fields.public_key}}) {
            if (!*from) continue;
            if ((*from)->size() > wire::kMaxAttestField) return rejected(NsmStatus::InputTooLarge);
            *to = ByteView(**from);
        }
        return Question{wire::encode_attest(request, fields), [](const Envelope& envelope) -> Result<Bytes> {
                            const auto document = TRY(decode_with_tail<wire::Document>(envelope));
                            return response::attestation(document.tail);
                        }};
    }

    Step operator()(const GetRandom&) const { return random_answer(); }
};

void NsmService::handle(ByteView request, size_t capacity, Completion completion) {
    ++counters_.requests;
    auto complete = [this, capacity, completion = std::move(completion)](Bytes response) {
        if (response.size() > capacity) response = response::error(NsmStatus::BufferTooSmall);
        if (response.size() > capacity) response.clear();
        if (response.empty() || is_error(response)) ++counters_.failures;
        completion(std::move(response));
    };
    const auto decoded = decode_request(request);
    if (const auto* status = std::get_if<NsmStatus>(&decoded)) return complete(response::error(*status));
    const uint32_t number = next_request_++;
    auto step = std::visit(Handler{.request = number}, std::get<Request>(decoded));
    if (auto* answer = std::get_if<Bytes>(&step)) return complete(std::move(*answer));
    auto& question = std::get<Handler::Question>(step);
    ask(number, std::move(question.message), std::move(question.encode), std::move(complete));
}

void NsmService::ask(uint32_t request, Bytes message, Encoder encode, Completion completion) {
    client_.ask(request, std::move(message),
                [this, alive = std::weak_ptr(alive_), encode = std::move(encode),
                 completion = std::move(completion)](const Result<Bytes>& answer) {
                    if (alive.expired()) return;
                    const auto response = [&]() -> Result<Bytes> {
                        if (!answer) return Failure{answer.error()};
                        const auto envelope = TRY(api::open_envelope(*answer));
                        if (envelope.type == wire::Rejected::kType) return encode_rejection(envelope);
                        if (envelope.type == wire::Document::kType) ++counters_.documents;
                        return encode(envelope);
                    }();
                    if (!response) log_failure(response.error());
                    completion(response ? *response : response::error(NsmStatus::InternalError));
                });
}

void NsmService::log_failure(const Error& error) {
    uint64_t suppressed = 0;
    if (log_limit_.allow(suppressed))
        log::warn("no answer from the attestor: {} ({} similar messages left out)", error.to_string(),
                  suppressed);
}

}  // namespace alcove::nsm

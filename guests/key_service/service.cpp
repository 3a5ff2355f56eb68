// SPDX-License-Identifier: Apache-2.0
#include "key_service/service.hpp"

#include <utility>

namespace alcove::key_service {

namespace {

RefusalReason reason_for(ErrorCode code) {
    switch (code) {
        case ErrorCode::VersionMismatch:
            return RefusalReason::Version;
        case ErrorCode::Unsupported:
            return RefusalReason::UnknownRequest;
        default:
            return RefusalReason::Malformed;
    }
}

}  // namespace

Refusal refusal(RefusalReason reason, std::string text) {
    return Refusal{static_cast<uint8_t>(reason), std::move(text)};
}

Result<KeyService> KeyService::create(Attester& attester) {
    KeyPair key = TRY(KeyPair::generate());
    return KeyService(std::move(key), attester);
}

Reply KeyService::answer(ByteView message) const {
    const auto request = decode_request(message);
    if (!request) return refusal(reason_for(request.error().code()), request.error().message());
    return std::visit([this](const auto& one) { return answer_one(one); }, *request);
}

Reply KeyService::answer_one(const Challenge& challenge) const {
    auto document = attester_->attest(public_key(), challenge.nonce);
    if (!document) return refusal(RefusalReason::AttestationFailed, document.error().to_string());
    return Document{std::move(*document)};
}

Reply KeyService::answer_one(const Decrypt& request) const {
    auto answer = decrypt(request);
    // The same text whatever went wrong: a client that guesses learns nothing from it.
    if (!answer) return refusal(RefusalReason::NotOpened, "this was not sealed for the key of this service");
    return std::move(*answer);
}

Result<Answer> KeyService::decrypt(const Decrypt& request) const {
    const SessionKeys keys = TRY(key_.agree_as_service(request.public_key));
    Bytes text = TRY(open(keys.to_service, request.secret));
    const auto digest = sha256(text);
    auto echo = seal(keys.to_client, text);
    const auto length = static_cast<uint32_t>(text.size());
    forget(text);
    Answer answer;
    answer.digest = TRY(digest);
    answer.length = length;
    answer.echo = TRY(std::move(echo));
    return answer;
}

}  // namespace alcove::key_service

// SPDX-License-Identifier: Apache-2.0
#include "key_service/client.hpp"

#include <chrono>
#include <string>

#include "key_service/sealing.hpp"

namespace alcove::key_service {

namespace {

// A document may have to wait for a new certificate; an emulated enclave is slow on top.
constexpr std::chrono::seconds kPatience{60};
constexpr size_t kLongestGreeting = 64;

Failure refused(const Refusal& refusal) {
    const bool busy = refusal.reason == static_cast<uint8_t>(RefusalReason::Busy);
    return fail(busy ? ErrorCode::Busy : ErrorCode::Unsupported, "the service refuses: " + refusal.text);
}

Failure other_reply() {
    return fail(ErrorCode::InvalidMessage, "the service answered another question");
}

}  // namespace

Result<Reply> Client::ask(const Request& request) {
    // A service that has no place for us may have closed already; what it said last can still be read.
    const auto sent = stream_.send(encode(request), kPatience);
    const auto message = stream_.receive(kPatience);
    if (!sent && (!message || !message->has_value())) return Failure{sent.error()};
    if (!message) return Failure{message.error()};
    if (!message->has_value()) return fail(ErrorCode::ConnectionLost, "the service closed the connection");
    Reply reply = TRY(decode_reply(**message));
    if (const auto* refusal = std::get_if<Refusal>(&reply)) return refused(*refusal);
    return reply;
}

Result<Bytes> Client::challenge(ByteView nonce) {
    Reply reply = TRY(ask(Challenge{to_bytes(nonce)}));
    auto* document = std::get_if<Document>(&reply);
    if (document == nullptr) return other_reply();
    return std::move(document->document);
}

Result<Opened> Client::send_secret(ByteView service_public_key, ByteView secret) {
    const KeyPair own = TRY(KeyPair::generate());
    const SessionKeys keys = TRY(own.agree_as_client(service_public_key));
    Sealed sealed = TRY(seal(keys.to_service, secret));
    const Reply reply = TRY(ask(Decrypt{own.public_key(), std::move(sealed)}));
    const auto* answer = std::get_if<Answer>(&reply);
    if (answer == nullptr) return other_reply();

    Bytes echo = TRY(open(keys.to_client, answer->echo));
    const auto digest = TRY(sha256(secret));
    const bool same = std::equal(echo.begin(), echo.end(), secret.begin(), secret.end());
    if (!same || answer->digest != digest || answer->length != secret.size())
        return fail(ErrorCode::InvalidMessage, "the service read something else than what was sent");
    return Opened{answer->digest, answer->length, std::move(echo)};
}

Result<void> connect_to_port(MessageStream& stream, uint32_t port) {
    const std::string line = "CONNECT " + std::to_string(port) + "\n";
    TRY(stream.send_raw(as_byte_view(line), kPatience));
    const std::string answer = TRY(stream.receive_line(kLongestGreeting, kPatience)
                                       .context("connecting to port " + std::to_string(port)));
    if (!answer.starts_with("OK "))
        return fail(ErrorCode::ConnectionLost, "the VMM answers CONNECT with '" + answer + "'");
    return {};
}

}  // namespace alcove::key_service

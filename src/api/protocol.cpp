// SPDX-License-Identifier: Apache-2.0
#include "api/protocol.hpp"

#include <algorithm>

#include "support/error_catalog.hpp"

namespace alcove::api {

Bytes encode_raw(uint16_t type, ByteView body, ByteView tail) {
    const size_t length = sizeof(MessageHeader) + body.size() + tail.size();
    ALCOVE_CHECK(length <= Channel::kMaxMessage, "a message fits a datagram");
    const MessageHeader header{.type = type, .flags = 0, .length = static_cast<uint32_t>(length)};
    const auto head = object_bytes(header);
    Bytes message(length);
    auto end = std::ranges::copy(head, message.begin()).out;
    end = std::ranges::copy(body, end).out;
    std::ranges::copy(tail, end);
    return message;
}

Result<Envelope> open_envelope(ByteView message) {
    const auto header = read_object<MessageHeader>(message);
    if (!header) return fail(ErrorCode::InvalidMessage, "a message shorter than its header");
    if (header->length != message.size())
        return fail(ErrorCode::InvalidMessage, "a message of " + std::to_string(message.size()) +
                                                   " bytes says it has " + std::to_string(header->length));
    if (header->flags != 0)
        return fail(ErrorCode::InvalidMessage,
                    "unknown flags in a message of type " + std::to_string(header->type));
    return Envelope{.type = header->type, .body = message.subspan(sizeof(MessageHeader))};
}

Failure wrong_body(uint16_t type, size_t size) {
    return fail(ErrorCode::InvalidMessage, "an unexpected message: type " + std::to_string(type) +
                                               " with a body of " + std::to_string(size) + " bytes");
}

std::string printable(ByteView text) {
    std::string safe(as_text(text));
    std::ranges::replace_if(
        safe, [](char c) { return c < ' ' || c > '~'; }, '?');
    return safe;
}

Bytes encode_hello(Protocol protocol, VersionRange ours) {
    Hello hello;
    hello.protocol = static_cast<uint16_t>(protocol);
    hello.min_version = ours.min;
    hello.max_version = ours.max;
    hello.program_version = TextField<32>::of(ALCOVE_VERSION);
    return encode(hello);
}

Result<uint16_t> accept_hello(const Envelope& envelope, Protocol protocol, VersionRange ours) {
    const auto hello = TRY(decode<Hello>(envelope));
    if (hello.magic != Hello::kMagic || hello.protocol != static_cast<uint16_t>(protocol))
        return fail(ErrorCode::InvalidMessage, "the peer does not speak this protocol");
    if (hello.min_version > hello.max_version)
        return fail(ErrorCode::InvalidMessage, "the peer's lowest version is above its highest");
    const uint16_t highest = std::min<uint16_t>(hello.max_version, ours.max);
    if (highest < ours.min || highest < hello.min_version)
        return fail(ErrorCode::VersionMismatch,
                    "the peer speaks versions " + std::to_string(hello.min_version) + " to " +
                        std::to_string(hello.max_version) + " of protocol " + std::to_string(hello.protocol) +
                        ", this program " + std::to_string(ours.min) + " to " + std::to_string(ours.max));
    return highest;
}

Result<uint16_t> exchange_hello(const Channel& channel, Protocol protocol, VersionRange ours,
                                std::chrono::milliseconds timeout) {
    TRY(channel.send(encode_hello(protocol, ours)));
    const auto answer = TRY(channel.receive_within(timeout));
    const auto envelope = TRY(open_envelope(answer.data));
    return accept_hello(envelope, protocol, ours);
}

Bytes encode_failed(uint32_t request, const Error& error) {
    const Failed failed{.request = request,
                        .code = static_cast<uint16_t>(error.code()),
                        .reserved = {},
                        .errno_value = static_cast<uint32_t>(error.errno_value())};
    return encode(failed, as_byte_view(error.to_string()));
}

Result<FailedRequest> decode_failed(const Envelope& envelope) {
    const auto failed = TRY(decode_with_tail<Failed>(envelope));
    const uint16_t code = failed.body.code;
    const bool known = std::ranges::any_of(error_catalog(), [code](const ErrorEntry& entry) {
        return static_cast<uint16_t>(entry.code) == code;
    });
    return FailedRequest{
        .request = failed.body.request,
        .error = Error(known ? static_cast<ErrorCode>(code) : ErrorCode::Internal, printable(failed.tail))};
}

}  // namespace alcove::api

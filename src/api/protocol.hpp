// SPDX-License-Identifier: Apache-2.0
//
// What all protocols between our own processes share: the header of a message, the version exchange a
// connection begins with, and encoding and decoding with every check in one place.
//
// A message is one SOCK_SEQPACKET datagram (support/channel.hpp): a header, a body that is a fixed structure
// of little-endian wire integers, and, where the message type says so, a bounded tail (a text, a list). The
// receiver owns its copy of the datagram before it looks at it, so nothing changes under a check.
//
// Rules of compatibility: a type number is never reused; a changed body is a new version of its protocol;
// both ends speak the highest version that both know. A reader that finds a body of another size, a type it
// does not know or a flag it does not know answers with an error or closes: it never guesses.
#pragma once

#include <concepts>
#include <string>
#include <type_traits>

#include "api/text_field.hpp"
#include "support/bytes.hpp"
#include "support/channel.hpp"
#include "support/endian.hpp"
#include "support/result.hpp"

namespace alcove::api {

enum class Protocol : uint16_t {
    Broker = 1,        // alcoved -> alcove-broker
    Attestor = 2,      // alcove-broker, alcove-shim, alcove-vmm -> alcove-attestor
    Shim = 3,          // alcoved -> alcove-shim
    Vmm = 4,           // alcove-shim <-> alcove-vmm
    Start = 5,         // alcove-broker -> the alcove-shim that it starts
    Ne = 6,            // the VMM of a primary VM -> alcoved
    Lives = 7,         // alcove-shim <-> what begins a primary VM's VMMs
    Descriptors = 64,  // a client -> alcoved: files for requests (docs/api.md)
};

struct MessageHeader {
    Le16 type;
    Le16 flags;   // 0; a reader refuses others
    Le32 length;  // of the whole message, this header included
};
static_assert(sizeof(MessageHeader) == 8);

// A body: bytes only, no padding, and a type number. One with kMaxTail is followed by up to that many bytes.
template <typename T>
concept Body = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T> &&
                   alignof(T) == 1 &&
               requires {
    { T::kType } -> std::convertible_to<uint16_t>;
};
template <typename T>
concept BodyWithTail = Body<T> && requires {
    { T::kMaxTail } -> std::convertible_to<size_t>;
};

Bytes encode_raw(uint16_t type, ByteView body, ByteView tail);

template <Body T>
Bytes encode(const T& body) {
    return encode_raw(T::kType, object_bytes(body), {});
}
// A tail over the limit is cut: it is a text for people, or a list whose maker counts.
template <BodyWithTail T>
Bytes encode(const T& body, ByteView tail) {
    return encode_raw(T::kType, object_bytes(body), tail.first(std::min<size_t>(tail.size(), T::kMaxTail)));
}

// A datagram whose header has been checked. `body` points into the datagram.
struct Envelope {
    uint16_t type;
    ByteView body;
};
// ErrorCode::InvalidMessage when the header is not whole, lies about the length or has flags.
Result<Envelope> open_envelope(ByteView message);

Failure wrong_body(uint16_t type, size_t size);

// The body of an envelope, by value. ErrorCode::InvalidMessage when type or size are not T's.
template <Body T>
Result<T> decode(const Envelope& envelope) {
    const auto body = read_object<T>(envelope.body);
    if (envelope.type != T::kType || !body || envelope.body.size() != sizeof(T))
        return wrong_body(envelope.type, envelope.body.size());
    return *body;
}

template <typename T>
struct WithTail {
    T body;
    ByteView tail;  // points into the datagram
};
template <BodyWithTail T>
Result<WithTail<T>> decode_with_tail(const Envelope& envelope) {
    const auto body = read_object<T>(envelope.body);
    if (envelope.type != T::kType || !body || envelope.body.size() > sizeof(T) + T::kMaxTail)
        return wrong_body(envelope.type, envelope.body.size());
    return WithTail<T>{.body = *body, .tail = envelope.body.subspan(sizeof(T))};
}

// Text from another process, made safe to print: control characters and bytes over 126 become '?'.
std::string printable(ByteView text);

// The first message of either end of every connection; neither waits for the other's before it sends.
struct Hello {
    static constexpr uint16_t kType = 1;
    static constexpr uint32_t kMagic = 0x766f636c;  // "lcov"

    Le32 magic = kMagic;
    Le16 protocol;
    Le16 min_version;
    Le16 max_version;
    Le16 reserved;
    TextField<32> program_version;  // for the log only: "0.1.0"
};
static_assert(sizeof(Hello) == 44);

// The versions of a protocol that this program speaks.
struct VersionRange {
    uint16_t min;
    uint16_t max;
};

Bytes encode_hello(Protocol protocol, VersionRange ours);
// The version that both ends then speak. ErrorCode::VersionMismatch when there is none, with both ranges in
// the message; ErrorCode::InvalidMessage when it is no Hello of this protocol.
Result<uint16_t> accept_hello(const Envelope& envelope, Protocol protocol, VersionRange ours);
// Both halves, for a caller that may block: sends ours, waits for theirs.
Result<uint16_t> exchange_hello(const Channel& channel, Protocol protocol, VersionRange ours,
                                std::chrono::milliseconds timeout = std::chrono::seconds(5));

// How a request fails, in every protocol. Type numbers 1 to 15 are shared, a protocol's own begin at 16.
struct Failed {
    static constexpr uint16_t kType = 2;
    static constexpr size_t kMaxTail = 512;  // what happened, in printable ASCII

    Le32 request;  // the id that the request carried
    Le16 code;     // ErrorCode
    Le16 reserved;
    Le32 errno_value;  // 0 when no system call was involved
};
static_assert(sizeof(Failed) == 12);

Bytes encode_failed(uint32_t request, const Error& error);
struct FailedRequest {
    uint32_t request;
    Error error;  // an unknown code becomes ErrorCode::Internal
};
Result<FailedRequest> decode_failed(const Envelope& envelope);

// An answer that is a T, or the Error with which the request failed.
template <Body T>
Result<T> decode_answer(const Envelope& envelope) {
    if (envelope.type != Failed::kType) return decode<T>(envelope);
    auto failed = TRY(decode_failed(envelope));
    return Failure{std::move(failed.error)};
}

}  // namespace alcove::api

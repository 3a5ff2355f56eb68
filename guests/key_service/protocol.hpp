// SPDX-License-Identifier: Apache-2.0
//
// What key service and client say to each other; README.md has it as tables. A message is a version, a type
// and a body; on a stream each message has its length in front (message_stream.hpp). All integers are
// big-endian.
//
// Decoding takes nothing on trust: every length is checked against what is there and against its limit, and
// bytes left over are an error.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::key_service {

inline constexpr uint8_t kProtocolVersion = 1;
// Where the service listens, a vsock port.
inline constexpr uint32_t kServicePort = 5000;

inline constexpr size_t kMessageLimit = 32768;
inline constexpr size_t kNonceLimit = 512;
inline constexpr size_t kPublicKeyLimit = 256;
inline constexpr size_t kSecretLimit = 16384;
inline constexpr size_t kRefusalTextLimit = 256;

// Text under AES-256-GCM.
struct Sealed {
    std::array<uint8_t, 12> iv{};
    std::array<uint8_t, 16> tag{};
    Bytes ciphertext;

    bool operator==(const Sealed&) const = default;
};

// "Show me who you are": answered by Document.
struct Challenge {
    Bytes nonce;

    bool operator==(const Challenge&) const = default;
};

// "Open this": answered by Answer. The public key is a fresh one of the client's, as SubjectPublicKeyInfo.
struct Decrypt {
    Bytes public_key;
    Sealed secret;

    bool operator==(const Decrypt&) const = default;
};

struct Document {
    Bytes document;

    bool operator==(const Document&) const = default;
};

// Proof that the service could read the secret: its SHA-256 and length, and the secret itself under a key for
// this direction.
struct Answer {
    std::array<uint8_t, 32> digest{};
    uint32_t length = 0;
    Sealed echo;

    bool operator==(const Answer&) const = default;
};

enum class RefusalReason : uint8_t {
    Malformed = 1,          // not a message of this protocol
    Version = 2,            // another version of it
    UnknownRequest = 3,     // a type that this service does not know
    AttestationFailed = 4,  // no document could be had
    NotOpened = 5,          // the key is no P-384 key, or the text was not sealed with ours
    Busy = 6,               // too many clients; the connection is closed
};

struct Refusal {
    uint8_t reason = 0;  // a RefusalReason, or one of a later version
    std::string text;

    bool operator==(const Refusal&) const = default;
};

using Request = std::variant<Challenge, Decrypt>;
using Reply = std::variant<Document, Answer, Refusal>;

Bytes encode(const Request& request);
Bytes encode(const Reply& reply);

// ErrorCode::VersionMismatch, ::Unsupported (an unknown type) or ::InvalidMessage.
Result<Request> decode_request(ByteView message);
Result<Reply> decode_reply(ByteView message);

}  // namespace alcove::key_service

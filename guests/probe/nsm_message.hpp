// SPDX-License-Identifier: Apache-2.0
//
// All seven requests to the Nitro Secure Module and what it answers, in CBOR (RFC 8949): a request or reply
// without fields is a text, one with fields is a map of one pair, from its name to a map of its fields;
// errors are {"Error": name}. Written apart from the module's own codec, so that a mistake there is not made
// here too.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::probe {

Bytes encode_plain_request(std::string_view name);  // DescribeNSM, GetRandom
Bytes encode_number_request(std::string_view name, std::string_view field, uint64_t number);
Bytes encode_extend_request(uint64_t index, ByteView data);

struct AttestationFields {
    std::optional<Bytes> user_data;
    std::optional<Bytes> nonce;
    std::optional<Bytes> public_key;
};
Bytes encode_attestation_request(const AttestationFields& fields);

struct Value {
    enum class Kind { Null, Bool, Number, Bytes, Text, Array, Map };
    Kind kind = Kind::Null;
    uint64_t number = 0;       // Number; 0 or 1 for Bool
    alcove::Bytes bytes;       // Bytes and Text
    std::vector<Value> items;  // Array; a Map's keys and values in turn

    // What a Map has under this key, or an Error that names the key.
    Result<const Value*> field(std::string_view key, Kind expected) const;
    std::string text() const { return std::string(as_text(bytes)); }
};

struct Reply {
    std::string name;  // "Error" for errors
    Value fields;      // Null for a reply that is only its name; the error's name as Text
    // "LockPCR", or "Error InvalidIndex".
    std::string to_string() const;
};

// ErrorCode::CborMalformed for what is not exactly one reply.
Result<Reply> decode_reply(ByteView bytes);

}  // namespace alcove::probe

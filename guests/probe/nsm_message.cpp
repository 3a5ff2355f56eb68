// SPDX-License-Identifier: Apache-2.0
#include "probe/nsm_message.hpp"

#include <utility>

#include "secure_module/cbor_head.hpp"

namespace alcove::probe {

namespace {

using secure_module::kFalse;
using secure_module::kNull;
using secure_module::kTrue;
using secure_module::Major;
using secure_module::put_bytes;
using secure_module::put_head;
using secure_module::put_text;

// A reply is a map of a map of arrays at the most.
constexpr unsigned kDeepest = 4;

Bytes begin_request(std::string_view name, uint64_t fields) {
    Bytes out;
    put_head(out, Major::Map, 1);
    put_text(out, name);
    put_head(out, Major::Map, fields);
    return out;
}

void put_optional(Bytes& out, std::string_view name, const std::optional<Bytes>& value) {
    put_text(out, name);
    if (value) {
        put_bytes(out, Major::ByteString, *value);
    } else {
        put_head(out, Major::Simple, kNull);
    }
}

Failure malformed(const char* what) {
    return fail(ErrorCode::CborMalformed, what);
}

class Reader {
  public:
    explicit Reader(ByteView bytes) : bytes_(bytes) {}

    bool at_end() const { return bytes_.empty(); }

    Result<Value> take(unsigned depth) {
        if (depth == 0) return malformed("the reply is nested too deep");
        const auto head = TRY(secure_module::take_head(bytes_));
        const auto [major, argument] = head;
        Value value;
        switch (major) {
            case Major::Unsigned:
                value.kind = Value::Kind::Number;
                value.number = argument;
                return value;
            case Major::ByteString:
            case Major::TextString:
                if (argument > bytes_.size()) return malformed("a string is longer than the reply");
                value.kind = major == Major::TextString ? Value::Kind::Text : Value::Kind::Bytes;
                value.bytes = to_bytes(bytes_.first(argument));
                bytes_ = bytes_.subspan(argument);
                return value;
            case Major::Array:
            case Major::Map: {
                // An item has a byte at least, so this bounds the loop as well.
                if (argument > bytes_.size()) return malformed("a list is longer than the reply");
                value.kind = major == Major::Map ? Value::Kind::Map : Value::Kind::Array;
                const uint64_t count = major == Major::Map ? argument * 2 : argument;
                for (uint64_t i = 0; i < count; ++i) {
                    Value item = TRY(take(depth - 1));
                    value.items.push_back(std::move(item));
                }
                return value;
            }
            case Major::Simple:
                if (argument == kNull) return value;
                if (argument != kFalse && argument != kTrue) return malformed("an unexpected simple value");
                value.kind = Value::Kind::Bool;
                value.number = argument == kTrue ? 1 : 0;
                return value;
        }
        return malformed("an item of an unexpected type");
    }

  private:
    ByteView bytes_;
};

}  // namespace

Bytes encode_plain_request(std::string_view name) {
    Bytes out;
    put_text(out, name);
    return out;
}

Bytes encode_number_request(std::string_view name, std::string_view field, uint64_t number) {
    Bytes out = begin_request(name, 1);
    put_text(out, field);
    put_head(out, Major::Unsigned, number);
    return out;
}

Bytes encode_extend_request(uint64_t index, ByteView data) {
    Bytes out = begin_request("ExtendPCR", 2);
    put_text(out, "index");
    put_head(out, Major::Unsigned, index);
    put_text(out, "data");
    put_bytes(out, Major::ByteString, data);
    return out;
}

Bytes encode_attestation_request(const AttestationFields& fields) {
    Bytes out = begin_request("Attestation", 3);
    put_optional(out, "user_data", fields.user_data);
    put_optional(out, "nonce", fields.nonce);
    put_optional(out, "public_key", fields.public_key);
    return out;
}

Result<const Value*> Value::field(std::string_view key, Kind expected) const {
    if (kind == Kind::Map) {
        for (size_t i = 0; i + 1 < items.size(); i += 2) {
            if (items[i].kind != Kind::Text || as_text(items[i].bytes) != key) continue;
            if (items[i + 1].kind != expected)
                return fail(ErrorCode::CborMalformed, std::string(key) + " is of another type");
            return &items[i + 1];
        }
    }
    return fail(ErrorCode::CborMalformed, "the reply has no " + std::string(key));
}

std::string Reply::to_string() const {
    return fields.kind == Value::Kind::Text ? name + " " + fields.text() : name;
}

Result<Reply> decode_reply(ByteView bytes) {
    Reader reader(bytes);
    Value value = TRY(reader.take(kDeepest));
    if (!reader.at_end()) return malformed("something follows the reply");
    if (value.kind == Value::Kind::Text) return Reply{.name = value.text(), .fields = {}};
    if (value.kind != Value::Kind::Map || value.items.size() != 2 || value.items[0].kind != Value::Kind::Text)
        return malformed("the reply is no text and no map of one name");
    return Reply{.name = value.items[0].text(), .fields = std::move(value.items[1])};
}

}  // namespace alcove::probe

// SPDX-License-Identifier: Apache-2.0
#include "nsm/request.hpp"

#include <array>

#include "codec/cbor.hpp"

namespace alcove::nsm {

namespace {

namespace cbor = codec::cbor;

constexpr cbor::Limits kLimits{
    .bytes = kMaxRequestSize, .items = 256, .depth = 4, .duplicate_keys = cbor::DuplicateKeys::Accept};

std::optional<uint64_t> number(const cbor::Map& fields, std::string_view name) {
    const auto* value = fields.find(name);
    if (value == nullptr) return std::nullopt;
    const auto found = value->as_unsigned();
    return found ? std::optional(*found) : std::nullopt;
}

std::optional<Bytes> bytes_or_text(const cbor::Value& value) {
    if (const auto bytes = value.as_bytes()) return to_bytes(*bytes);
    if (const auto text = value.as_text()) return to_bytes(as_byte_view(*text));
    return std::nullopt;
}

// False when there is something that is neither bytes nor null.
bool read_optional(const cbor::Map& fields, std::string_view name, std::optional<Bytes>& into) {
    const auto* value = fields.find(name);
    if (value == nullptr || value->is_null()) return true;
    into = bytes_or_text(*value);
    return into.has_value();
}

std::optional<Request> describe_pcr(const cbor::Map& fields) {
    const auto index = number(fields, "index");
    if (!index) return std::nullopt;
    return DescribePCR{.index = *index};
}

std::optional<Request> extend_pcr(const cbor::Map& fields) {
    const auto index = number(fields, "index");
    const auto* value = fields.find("data");
    auto data = value != nullptr ? bytes_or_text(*value) : std::nullopt;
    if (!index || !data) return std::nullopt;
    return ExtendPCR{.index = *index, .data = std::move(*data)};
}

std::optional<Request> lock_pcr(const cbor::Map& fields) {
    const auto index = number(fields, "index");
    if (!index) return std::nullopt;
    return LockPCR{.index = *index};
}

std::optional<Request> lock_pcrs(const cbor::Map& fields) {
    const auto range = number(fields, "range");
    if (!range) return std::nullopt;
    return LockPCRs{.range = *range};
}

std::optional<Request> attestation(const cbor::Map& fields) {
    Attestation request;
    if (!read_optional(fields, "user_data", request.user_data) ||
        !read_optional(fields, "nonce", request.nonce) ||
        !read_optional(fields, "public_key", request.public_key))
        return std::nullopt;
    return request;
}

struct RequestWithFields {
    std::string_view name;
    std::optional<Request> (*decode)(const cbor::Map& fields);
};
constexpr std::array<RequestWithFields, 5> kRequestsWithFields{{
    {"DescribePCR", describe_pcr},
    {"ExtendPCR", extend_pcr},
    {"LockPCR", lock_pcr},
    {"LockPCRs", lock_pcrs},
    {"Attestation", attestation},
}};

// A bare text, as serde writes a variant without fields.
std::optional<Request> decode_bare(std::string_view name) {
    if (name == "DescribeNSM") return DescribeNSM{};
    if (name == "GetRandom") return GetRandom{};
    return std::nullopt;
}

std::optional<Request> decode_map(const cbor::Map& map) {
    if (map.size() != 1) return std::nullopt;
    const auto& pair = map.entries().front();
    const auto name = pair.key.as_text();
    const auto fields = pair.value.as_map();
    if (!name || !fields) return std::nullopt;
    for (const auto& request : kRequestsWithFields)
        if (request.name == *name) return request.decode(**fields);
    return std::nullopt;
}

}  // namespace

std::variant<Request, NsmStatus> decode_request(ByteView encoded) {
    if (encoded.size() > kMaxRequestSize) return NsmStatus::InputTooLarge;
    const auto value = cbor::decode(encoded, kLimits);
    if (!value) return NsmStatus::InvalidOperation;
    std::optional<Request> request;
    if (const auto name = value->as_text()) request = decode_bare(*name);
    if (const auto map = value->as_map()) request = decode_map(**map);
    if (!request) return NsmStatus::InvalidOperation;
    return std::move(*request);
}

}  // namespace alcove::nsm

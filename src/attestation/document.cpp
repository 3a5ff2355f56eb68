// SPDX-License-Identifier: Apache-2.0
#include "attestation/document.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "codec/cbor.hpp"
#include "codec/cbor_writer.hpp"

namespace alcove::attestation {

namespace {

namespace cbor = codec::cbor;

constexpr std::string_view kDigestName = "SHA384";
constexpr size_t kMaxModuleId = 512;
constexpr size_t kMaxPublicKey = 1024;
constexpr uint64_t kMaxTimestampMs = 9'000'000'000'000;  // year 2255: what our clock's type can hold
constexpr size_t kReplyOverhead = 64;                    // the NSM's own map around a document
constexpr cbor::Limits kPayloadLimits{.bytes = kMaxPayloadSize, .items = 512, .depth = 4};
constexpr std::array<std::string_view, 9> kFields{"module_id",  "digest",      "timestamp",
                                                  "pcrs",       "certificate", "cabundle",
                                                  "public_key", "user_data",   "nonce"};

void write_optional(cbor::Writer& writer, std::string_view name, const std::optional<ByteView>& field) {
    writer.text(name);
    if (field) {
        writer.bytes(*field);
    } else {
        writer.null();
    }
}

Failure bad_field(std::string_view name, std::string_view rule) {
    return fail(ErrorCode::DocumentField, "field '" + std::string(name) + "' " + std::string(rule));
}

// A field that must be there, or an Error that names it.
Result<const cbor::Value*> required(const cbor::Map& map, std::string_view name) {
    const auto* value = map.find(name);
    if (value == nullptr) return bad_field(name, "is missing");
    return value;
}

Result<std::string> read_text(const cbor::Map& map, std::string_view name) {
    const auto* value = TRY(required(map, name));
    const auto text = value->as_text();
    if (!text) return bad_field(name, "is not text");
    return std::string(*text);
}

Result<Bytes> bytes_within(const cbor::Value& value, std::string_view name, size_t least, size_t most) {
    const auto bytes = value.as_bytes();
    if (!bytes) return bad_field(name, "is not a byte string");
    if (bytes->size() < least || bytes->size() > most)
        return bad_field(name, "has " + std::to_string(bytes->size()) + " bytes, it may have " +
                                   std::to_string(least) + " to " + std::to_string(most));
    return to_bytes(*bytes);
}

Result<std::optional<Bytes>> read_optional(const cbor::Map& map, std::string_view name, size_t least,
                                           size_t most) {
    const auto* value = map.find(name);
    if (value == nullptr || value->is_null()) return std::optional<Bytes>();
    auto bytes = TRY(bytes_within(*value, name, least, most));
    return std::optional<Bytes>(std::move(bytes));
}

Result<Certificate> read_certificate(const cbor::Value& value, std::string_view name) {
    const auto der = TRY(bytes_within(value, name, 1, kMaxCertificateSize));
    return Certificate::from_der(der).context("field '" + std::string(name) + "'");
}

Result<uint64_t> read_timestamp(const cbor::Map& map) {
    const auto* value = TRY(required(map, "timestamp"));
    const auto milliseconds = value->as_unsigned();
    if (!milliseconds) return bad_field("timestamp", "is not an unsigned integer");
    if (*milliseconds == 0 || *milliseconds > kMaxTimestampMs) return bad_field("timestamp", "is no time");
    return *milliseconds;
}

Result<std::map<uint32_t, Bytes>> read_pcrs(const cbor::Map& map) {
    const auto* value = TRY(required(map, "pcrs"));
    const auto entries = value->as_map();
    if (!entries) return bad_field("pcrs", "is not a map");
    if ((*entries)->size() < 1 || (*entries)->size() > PcrBank::kCount)
        return bad_field("pcrs",
                         "has " + std::to_string((*entries)->size()) + " entries, it may have 1 to 32");
    std::map<uint32_t, Bytes> pcrs;
    for (const auto& entry : (*entries)->entries()) {
        const auto index = entry.key.as_unsigned();
        const auto bytes = entry.value.as_bytes();
        if (!index || *index >= PcrBank::kCount) return bad_field("pcrs", "has an index that is not 0 to 31");
        if (!bytes || (bytes->size() != 32 && bytes->size() != 48 && bytes->size() != 64))
            return bad_field("pcrs", "has a value that is not 32, 48 or 64 bytes");
        if (!pcrs.emplace(static_cast<uint32_t>(*index), to_bytes(*bytes)).second)
            return bad_field("pcrs", "has an index twice");
    }
    return pcrs;
}

Result<std::vector<Certificate>> read_bundle(const cbor::Map& map) {
    const auto* value = TRY(required(map, "cabundle"));
    const auto items = value->as_array();
    if (!items) return bad_field("cabundle", "is not an array");
    if (items->empty()) return bad_field("cabundle", "is empty");
    std::vector<Certificate> bundle;
    for (const auto& item : *items) {
        auto certificate = TRY(read_certificate(item, "cabundle"));
        bundle.push_back(std::move(certificate));
    }
    return bundle;
}

Result<void> check_names(const cbor::Map& map) {
    for (const auto& entry : map.entries()) {
        const auto name = entry.key.as_text();
        if (!name) return fail(ErrorCode::DocumentField, "a field's name is not text");
        if (std::ranges::find(kFields, *name) == kFields.end())
            return fail(ErrorCode::DocumentField, "an unknown field");
    }
    return {};
}

}  // namespace

Result<Bytes> make_document(const DocumentPlan& plan, const PrivateKey& leaf_key) {
    const auto milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(plan.timestamp.time_since_epoch());
    cbor::Writer writer;
    writer.map(kFields.size()).text("module_id").text(plan.module_id).text("digest").text(kDigestName);
    writer.text("timestamp").unsigned_integer(static_cast<uint64_t>(milliseconds.count()));
    writer.text("pcrs").map(static_cast<size_t>(std::popcount(plan.pcrs.locked())));
    for (uint32_t index = 0; index < PcrBank::kCount; ++index)
        if (plan.pcrs.is_locked(index)) writer.unsigned_integer(index).bytes(plan.pcrs.value(index));
    writer.text("certificate").bytes(plan.leaf.der()).text("cabundle").array(plan.bundle.size());
    for (const auto& certificate : plan.bundle)
        writer.bytes(certificate.der());
    write_optional(writer, "public_key", plan.fields.public_key);
    write_optional(writer, "user_data", plan.fields.user_data);
    write_optional(writer, "nonce", plan.fields.nonce);

    auto document = TRY(crypto::cose_sign1(writer.view(), leaf_key));
    if (document.size() > api::attestor::kMaxDocument - kReplyOverhead)
        return fail(ErrorCode::LimitExceeded, "the document has " + std::to_string(document.size()) +
                                                  " bytes: the certificate chain is too long");
    return document;
}

bool Document::is_debug() const {
    const auto pcr0 = pcrs.find(0);
    return pcr0 == pcrs.end() || std::ranges::all_of(pcr0->second, [](uint8_t byte) { return byte == 0; });
}

Result<crypto::CoseSign1> parse_envelope(ByteView encoded) {
    auto envelope = crypto::CoseSign1::parse(encoded);
    if (!envelope) return fail(ErrorCode::DocumentMalformed, envelope.error().to_string());
    if (envelope->algorithm != crypto::CoseAlgorithm::ES384)
        return fail(ErrorCode::DocumentMalformed, "the signature's algorithm is not ES384");
    return envelope;
}

Result<Document> parse_payload(crypto::CoseSign1 envelope, FieldLimit limit) {
    const auto decoded = cbor::decode(envelope.payload, kPayloadLimits);
    if (!decoded) return fail(ErrorCode::DocumentMalformed, "payload: " + decoded.error().to_string());
    const auto as_map = decoded->as_map();
    if (!as_map) return fail(ErrorCode::DocumentMalformed, "the payload is not a map");
    const cbor::Map& map = **as_map;
    TRY(check_names(map));

    auto module_id = TRY(read_text(map, "module_id"));
    if (module_id.empty() || module_id.size() > kMaxModuleId)
        return bad_field("module_id", "is empty or too long");
    auto digest = TRY(read_text(map, "digest"));
    if (digest != kDigestName) return bad_field("digest", "is not SHA384");
    const auto timestamp_ms = TRY(read_timestamp(map));
    auto pcrs = TRY(read_pcrs(map));
    const auto field_limit = static_cast<size_t>(limit);
    auto public_key = TRY(read_optional(map, "public_key", 1, kMaxPublicKey));
    auto user_data = TRY(read_optional(map, "user_data", 0, field_limit));
    auto nonce = TRY(read_optional(map, "nonce", 0, field_limit));
    const auto* leaf = TRY(required(map, "certificate"));
    auto certificate = TRY(read_certificate(*leaf, "certificate"));
    auto cabundle = TRY(read_bundle(map));
    return Document{.envelope = std::move(envelope),
                    .module_id = std::move(module_id),
                    .digest = std::move(digest),
                    .timestamp_ms = timestamp_ms,
                    .pcrs = std::move(pcrs),
                    .certificate = std::move(certificate),
                    .cabundle = std::move(cabundle),
                    .public_key = std::move(public_key),
                    .user_data = std::move(user_data),
                    .nonce = std::move(nonce)};
}

}  // namespace alcove::attestation

// SPDX-License-Identifier: Apache-2.0
#include "cli/attest_view.hpp"

#include <charconv>
#include <ctime>

#include <nlohmann/json.hpp>

#include "cli/output.hpp"
#include "cli/table.hpp"
#include "codec/base64.hpp"
#include "codec/hex.hpp"

namespace alcove::cli {

namespace {

std::string outcome_text(attestation::Outcome outcome) {
    switch (outcome) {
        case attestation::Outcome::Passed:
            return "ok";
        case attestation::Outcome::Failed:
            return "FAILED";
        case attestation::Outcome::NotMade:
            break;
    }
    return "-";
}

Json bytes_or_null(const std::optional<Bytes>& bytes) {
    return bytes ? Json(codec::hex_encode(*bytes)) : Json(nullptr);
}

Json document_json(const attestation::Document& document) {
    Json pcrs = Json::object();
    for (const auto& [index, value] : document.pcrs)
        pcrs[std::to_string(index)] = codec::hex_encode(value);
    return {{"module_id", document.module_id},
            {"digest", document.digest},
            {"timestamp_ms", document.timestamp_ms},
            {"pcrs", std::move(pcrs)},
            {"public_key", bytes_or_null(document.public_key)},
            {"user_data", bytes_or_null(document.user_data)},
            {"nonce", bytes_or_null(document.nonce)}};
}

// Registers that are zero say nothing, and there are many of them.
bool is_zero(const Bytes& value) {
    for (const auto byte : value)
        if (byte != 0) return false;
    return true;
}

}  // namespace

std::string render_verification(const attestation::Verification& verification) {
    std::vector<std::vector<std::string>> rows;
    for (const auto& check : verification.checks)
        rows.push_back({outcome_text(check.outcome), check.name, one_line(check.detail)});
    std::string text = render_table(rows);
    if (verification.document) {
        const auto& document = *verification.document;
        std::vector<std::pair<std::string, std::string>> fields;
        fields.emplace_back("enclave", one_line(document.module_id));
        fields.emplace_back("time", crypto::time_text(document.timestamp()));
        for (const auto& [index, value] : document.pcrs)
            if (!is_zero(value)) fields.emplace_back("PCR" + std::to_string(index), codec::hex_encode(value));
        if (document.public_key) fields.emplace_back("public key", codec::hex_encode(*document.public_key));
        if (document.user_data) fields.emplace_back("user data", codec::hex_encode(*document.user_data));
        if (document.nonce) fields.emplace_back("nonce", codec::hex_encode(*document.nonce));
        text += "\n" + render_fields(fields);
    }
    text += verification.verified() ? "\nThe document is genuine and as demanded.\n"
                                    : "\nDo NOT trust this document.\n";
    return text;
}

Json verification_json(const attestation::Verification& verification) {
    Json checks = Json::array();
    for (const auto& check : verification.checks)
        checks.push_back({{"name", check.name},
                          {"outcome", std::string(attestation::outcome_name(check.outcome))},
                          {"detail", check.detail}});
    Json json = {{"verified", verification.verified()},
                 {"development", verification.development},
                 {"checks", std::move(checks)}};
    json["error"] = verification.error ? error_object(*verification.error)["error"] : Json(nullptr);
    json["document"] = verification.document ? document_json(*verification.document) : Json(nullptr);
    // Of a verified document only: what a program goes on with, and must not take from a refused one.
    if (verification.verified()) {
        json["public_key"] = bytes_or_null(verification.document->public_key);
        json["user_data"] = bytes_or_null(verification.document->user_data);
    }
    return json;
}

Result<std::pair<uint32_t, Bytes>> parse_pcr(const std::string& text) {
    const auto wrong = [&] {
        return fail(ErrorCode::InvalidArgument,
                    "'" + text + "' is not of the form N=HEX, with N from 0 to 31");
    };
    uint32_t index = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
    const auto used = static_cast<size_t>(end - text.data());
    if (error != std::errc{} || index > 31 || used >= text.size() || text[used] != '=') return wrong();
    auto value = codec::hex_decode(std::string_view(text).substr(used + 1));
    if (!value || value->empty()) return wrong();
    return std::pair(index, std::move(*value));
}

Result<attestation::TimePoint> parse_time(const std::string& text) {
    int64_t seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error == std::errc{} && end == text.data() + text.size() && seconds >= 0 &&
        seconds < int64_t{1} << 36)
        return attestation::TimePoint(std::chrono::seconds(seconds));
    std::tm fields{};
    const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &fields);
    if (rest == nullptr || *rest != '\0')
        return fail(ErrorCode::InvalidArgument,
                    "'" + text + "' is no time: 2026-01-31T12:00:00Z, or seconds since 1970");
    return std::chrono::system_clock::from_time_t(::timegm(&fields));
}

Result<Bytes> public_key_bytes(ByteView file) {
    constexpr std::string_view kBegin = "-----BEGIN PUBLIC KEY-----";
    constexpr std::string_view kEnd = "-----END PUBLIC KEY-----";
    const auto text = as_text(file);
    const size_t begin = text.find(kBegin);
    if (begin == std::string_view::npos) return to_bytes(file);
    const size_t end = text.find(kEnd, begin);
    if (end == std::string_view::npos) return fail(ErrorCode::KeyInvalid, "the PEM public key has no end");
    std::string base64;
    for (const char c : text.substr(begin + kBegin.size(), end - begin - kBegin.size()))
        if (c != '\n' && c != '\r' && c != ' ') base64 += c;
    return codec::base64_decode(base64);
}

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
//
// The attestation document (nitro.md 4.5 and 4.6): a CBOR map in a COSE_Sign1 envelope, signed with the key
// of the enclave's certificate. Here it is made, and taken apart with every rule about its fields checked;
// whether to believe it is verifier.hpp's business.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "api/attestor_messages.hpp"
#include "attestation/certificates.hpp"
#include "attestation/pcr_bank.hpp"
#include "crypto/cose.hpp"

namespace alcove::attestation {

using api::attestor::AttestFields;

inline constexpr size_t kMaxPayloadSize = 16384;

struct DocumentPlan {
    std::string_view module_id;
    TimePoint timestamp;
    const PcrBank& pcrs;  // the locked ones go into the document
    const Certificate& leaf;
    std::span<const Certificate> bundle;  // root first
    AttestFields fields;
};

// An untagged COSE_Sign1 around a map of definite length. The fields' sizes are the caller's to check.
// ErrorCode::LimitExceeded when it would not fit the guest's reply buffer, ErrorCode::CryptoFailed.
Result<Bytes> make_document(const DocumentPlan& plan, const PrivateKey& leaf_key);

// Up to how many bytes user_data and nonce may have: AWS's text says 512, its device takes 1024.
enum class FieldLimit : size_t { Documented = 512, Device = 1024 };

struct Document {
    crypto::CoseSign1 envelope;
    std::string module_id;
    std::string digest;              // "SHA384"
    uint64_t timestamp_ms = 0;       // since 1970
    std::map<uint32_t, Bytes> pcrs;  // 1 to 32 of them, 32, 48 or 64 bytes each
    Certificate certificate;
    std::vector<Certificate> cabundle;  // root first, at least one
    std::optional<Bytes> public_key;
    std::optional<Bytes> user_data;
    std::optional<Bytes> nonce;

    TimePoint timestamp() const { return TimePoint(std::chrono::milliseconds(timestamp_ms)); }
    // PCR0 is all zero, or there is none: nothing says what runs (nitro.md 2.7).
    bool is_debug() const;
};

// The envelope, on its own. ErrorCode::DocumentMalformed when it is none, or is not ES384.
Result<crypto::CoseSign1> parse_envelope(ByteView encoded);
// The payload: maps definite or indefinite, fields in any order, none unknown, none twice.
// ErrorCode::DocumentMalformed when it is no such map, ErrorCode::DocumentField for a field that is missing
// or against a rule (the message names it), ErrorCode::ChainInvalid for bytes that are no certificate.
Result<Document> parse_payload(crypto::CoseSign1 envelope, FieldLimit limit = FieldLimit::Device);

}  // namespace alcove::attestation

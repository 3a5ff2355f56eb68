// SPDX-License-Identifier: Apache-2.0
//
// Should this attestation document be believed? All that a careful verifier checks (nitro.md 4.8), one named
// check after the other: envelope, fields, signature, root, chain, validity, revocation, then the caller's
// own demands. A check behind a failed one of the first group is not made, because nothing it would look at
// is to be trusted; the caller's demands are all answered.
//
// The root is pinned by the caller. The copy in the document is only ever compared with it.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "attestation/document.hpp"
#include "crypto/certificate_chain.hpp"
#include "support/error.hpp"

namespace alcove::attestation {

// The root certificate of AWS Nitro Enclaves (nitro.md 4.7), for documents that come from there.
inline constexpr std::string_view kAwsRootFingerprint =
    "64:1A:03:21:A3:E2:44:EF:E4:56:46:31:95:D6:06:31:7E:D7:CD:CC:3C:17:56:E0:98:93:F3:C6:8F:79:BB:5B";

struct Policy {
    // One of the two: the root itself, or the SHA-256 of its DER. With neither, every document is refused.
    std::optional<Certificate> root;
    std::optional<crypto::Sha256Value> root_fingerprint;

    TimePoint now;                                     // at which all certificates must be valid
    std::optional<std::chrono::milliseconds> max_age;  // of the document itself
    FieldLimit field_limit = FieldLimit::Device;
    bool allow_debug = false;
    bool allow_development = false;
    std::vector<crypto::RevocationList> revocation_lists;

    std::map<uint32_t, Bytes> pcrs;  // expected values; others may be anything
    std::optional<Bytes> nonce;
    std::optional<Bytes> public_key;
    std::optional<Bytes> user_data;
};

enum class Outcome { Passed, Failed, NotMade };
std::string_view outcome_name(Outcome outcome);  // "passed", "failed", "not made"

struct Check {
    std::string name;  // stable, for programs: "signature"
    Outcome outcome;
    std::string detail;  // for people; empty when there is nothing to say
};

struct Verification {
    std::vector<Check> checks;         // in the order made
    std::optional<Error> error;        // of the first check that failed
    std::optional<Document> document;  // as far as it could be read; believe it only when verified()
    bool development = false;          // the chain has the mark of a development root

    bool verified() const { return !error.has_value(); }
};

Verification verify_document(ByteView encoded, const Policy& policy);

}  // namespace alcove::attestation

// SPDX-License-Identifier: Apache-2.0
//
// The checks in their order. Each is a function that gives a Result with a line for people; the Run keeps the
// list and the first error.
#include "attestation/verifier.hpp"

#include <algorithm>

#include "codec/hex.hpp"

namespace alcove::attestation {

namespace {

using crypto::time_text;
using Detail = Result<std::string>;

// Two clocks that are both right may differ by this much.
constexpr auto kClockTolerance = std::chrono::minutes(5);

class Run {
  public:
    explicit Run(Verification& into) : into_(into) {}

    // What the document is made of: each step stands on the one before.
    void require(std::string name, auto&& check) {
        if (into_.error) {
            into_.checks.push_back({std::move(name), Outcome::NotMade, {}});
        } else {
            record(std::move(name), check());
        }
        sound_ = !into_.error;
    }
    // What the caller demands of a sound document.
    void demand(std::string name, auto&& check) {
        if (!sound_) {
            into_.checks.push_back({std::move(name), Outcome::NotMade, {}});
        } else {
            record(std::move(name), check());
        }
    }

  private:
    void record(std::string name, Detail detail) {
        if (detail) {
            into_.checks.push_back({std::move(name), Outcome::Passed, std::move(*detail)});
            return;
        }
        into_.checks.push_back({std::move(name), Outcome::Failed, detail.error().to_string()});
        if (!into_.error) into_.error = std::move(detail).error();
    }

    Verification& into_;
    bool sound_ = false;
};

Detail check_signature(const Document& document) {
    const auto key = document.certificate.public_key();
    if (!key || key->curve() != crypto::Curve::P384)
        return fail(ErrorCode::DocumentSignature, "the enclave's certificate has no P-384 key");
    if (!document.envelope.verify(*key))
        return fail(ErrorCode::DocumentSignature,
                    "the signature is not by the key of the enclave's certificate");
    return "ES384 by " + document.certificate.subject_text();
}

Detail check_root(const Document& document, const Policy& policy) {
    const auto& root = document.cabundle.front();
    const auto fingerprint = codec::hex_encode(root.fingerprint());
    if (!policy.root && !policy.root_fingerprint)
        return fail(ErrorCode::RootUntrusted,
                    "no trusted root was given; the document's has SHA-256 " + fingerprint);
    if ((policy.root && *policy.root != root) ||
        (policy.root_fingerprint && *policy.root_fingerprint != root.fingerprint()))
        return fail(ErrorCode::RootUntrusted, "the chain begins at " + root.subject_text() +
                                                  " with SHA-256 " + fingerprint +
                                                  ", which is not the trusted root");
    return root.subject_text();
}

Detail check_chain(const Document& document) {
    const auto& leaf = document.certificate;
    if (leaf.is_authority() || !leaf.allows(crypto::KeyUsage::digitalSignature))
        return fail(ErrorCode::ChainInvalid, "the enclave's certificate is not one for signing documents");
    TRY(crypto::verify_chain(leaf, document.cabundle, document.cabundle.front(), std::nullopt));
    return std::to_string(document.cabundle.size() + 1) + " certificates, each issued by the one above";
}

Detail check_validity(const Document& document, TimePoint now) {
    for (const auto& certificate : document.cabundle)
        TRY(crypto::check_validity(certificate, now));
    TRY(crypto::check_validity(document.certificate, now));
    return "at " + time_text(now);
}

Detail check_revocation(const Document& document, const Policy& policy) {
    TRY(crypto::verify_chain(document.certificate, document.cabundle, document.cabundle.front(), policy.now,
                             policy.revocation_lists));
    const auto used = std::ranges::count_if(policy.revocation_lists, [&](const auto& list) {
        return std::ranges::any_of(document.cabundle,
                                   [&](const auto& authority) { return list.is_of(authority); });
    });
    return std::to_string(used) + " of " + std::to_string(policy.revocation_lists.size()) +
           " lists are of this chain's authorities";
}

Detail check_development(const Verification& verification, const Policy& policy) {
    if (!verification.development) return std::string("not a development root");
    if (!policy.allow_development)
        return fail(ErrorCode::DevelopmentRoot,
                    "the chain is a development host's, whose keys nobody protects");
    return std::string("a development root, which is allowed");
}

Detail check_timestamp(const Document& document, const Policy& policy) {
    const auto time = document.timestamp();
    const auto& leaf = document.certificate;
    if (time < leaf.not_before() - kClockTolerance || time > leaf.not_after() + kClockTolerance)
        return fail(ErrorCode::DocumentField,
                    "the timestamp " + time_text(time) + " is outside the certificate's time");
    if (time > policy.now + kClockTolerance)
        return fail(ErrorCode::DocumentField, "the timestamp " + time_text(time) + " is in the future");
    if (policy.max_age && policy.now - time > *policy.max_age)
        return fail(ErrorCode::DocumentField, "the document of " + time_text(time) + " is too old");
    return time_text(time);
}

Detail check_debug(const Document& document, const Policy& policy) {
    if (!document.is_debug()) return std::string("not a debug enclave");
    if (!policy.allow_debug)
        return fail(ErrorCode::DebugEnclave,
                    "PCR0 is all zero: a debug enclave, whose content is not measured");
    return std::string("a debug enclave, which is allowed");
}

Detail check_pcrs(const Document& document, const Policy& policy) {
    for (const auto& [index, expected] : policy.pcrs) {
        const auto name = "PCR" + std::to_string(index);
        const auto found = document.pcrs.find(index);
        if (found == document.pcrs.end())
            return fail(ErrorCode::PcrMismatch, "the document has no " + name + ": it is not locked");
        if (found->second != expected)
            return fail(ErrorCode::PcrMismatch, name + " is " + codec::hex_encode(found->second) +
                                                    ", expected was " + codec::hex_encode(expected));
    }
    return std::to_string(policy.pcrs.size()) + " as expected";
}

Detail check_field(const std::optional<Bytes>& field, const Bytes& expected, ErrorCode code,
                   std::string_view name) {
    if (!field) return fail(code, "the document has no " + std::string(name));
    if (*field != expected)
        return fail(code, "the document's " + std::string(name) + " is another than expected");
    return std::string("as expected");
}

}  // namespace

std::string_view outcome_name(Outcome outcome) {
    switch (outcome) {
        case Outcome::Passed:
            return "passed";
        case Outcome::Failed:
            return "failed";
        case Outcome::NotMade:
            return "not made";
    }
    return {};
}

Verification verify_document(ByteView encoded, const Policy& policy) {
    Verification verification;
    Run run(verification);
    std::optional<crypto::CoseSign1> envelope;
    auto& document = verification.document;

    run.require("envelope", [&]() -> Detail {
        auto parsed = TRY(parse_envelope(encoded));
        envelope = std::move(parsed);
        return std::to_string(encoded.size()) + " bytes, COSE_Sign1, ES384";
    });
    run.require("fields", [&]() -> Detail {
        auto parsed = TRY(parse_payload(std::move(*envelope), policy.field_limit));
        document = std::move(parsed);
        verification.development = std::ranges::any_of(document->cabundle, is_development);
        return document->module_id;
    });
    run.require("signature", [&] { return check_signature(*document); });
    run.require("root", [&] { return check_root(*document, policy); });
    run.require("chain", [&] { return check_chain(*document); });
    run.require("validity", [&] { return check_validity(*document, policy.now); });
    if (!policy.revocation_lists.empty())
        run.require("revocation", [&] { return check_revocation(*document, policy); });

    run.demand("development-root", [&] { return check_development(verification, policy); });
    run.demand("timestamp", [&] { return check_timestamp(*document, policy); });
    run.demand("debug", [&] { return check_debug(*document, policy); });
    if (!policy.pcrs.empty()) run.demand("pcrs", [&] { return check_pcrs(*document, policy); });
    if (policy.nonce)
        run.demand("nonce", [&] {
            return check_field(document->nonce, *policy.nonce, ErrorCode::NonceMismatch, "nonce");
        });
    if (policy.public_key)
        run.demand("public-key", [&] {
            return check_field(document->public_key, *policy.public_key, ErrorCode::PublicKeyMismatch,
                               "public key");
        });
    if (policy.user_data)
        run.demand("user-data", [&] {
            return check_field(document->user_data, *policy.user_data, ErrorCode::DocumentField, "user data");
        });
    return verification;
}

}  // namespace alcove::attestation

// SPDX-License-Identifier: Apache-2.0
//
// X.509 certificates (RFC 5280): read, questioned, and issued. Chains of them are checked by
// certificate_chain.hpp.
//
// Errors: ErrorCode::ChainInvalid for what is not a certificate, ErrorCode::KeyInvalid for a key of a kind
// that key.hpp does not have, ErrorCode::CryptoFailed when the library fails.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/digest.hpp"
#include "crypto/key.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

struct x509_st;

namespace alcove::crypto {

using TimePoint = std::chrono::system_clock::time_point;

// The attributes that our names and AWS's have; an empty one is not written.
struct DistinguishedName {
    std::string country;  // two letters
    std::string state;
    std::string locality;
    std::string organization;
    std::string organizational_unit;
    std::string common_name;

    bool operator==(const DistinguishedName&) const = default;
};

// RFC 5280, 4.2.1.3; only those used here.
enum class KeyUsage { digitalSignature, nonRepudiation, keyCertSign, cRLSign };

// A value; copies share the library's object, which nobody changes.
class Certificate {
  public:
    static Result<Certificate> from_der(ByteView der);          // the whole of `der`
    static Result<Certificate> from_pem(std::string_view pem);  // the first certificate in it
    static Result<std::vector<Certificate>> all_from_pem(
        std::string_view pem);  // at least one, in their order

    const Bytes& der() const { return der_; }  // as received
    Result<std::string> to_pem() const;

    Sha256Value fingerprint() const;  // SHA-256 of the DER
    DistinguishedName subject() const;
    DistinguishedName issuer() const;
    std::string subject_text() const;  // "CN=..., O=...", for people
    Bytes serial() const;              // big-endian, without a leading zero
    TimePoint not_before() const;
    TimePoint not_after() const;
    Result<PublicKey> public_key() const;

    bool is_authority() const;  // basicConstraints: CA
    std::optional<uint32_t> path_length() const;
    bool allows(KeyUsage usage) const;  // false when there is no keyUsage extension

    bool operator==(const Certificate& other) const { return der_ == other.der_; }

    x509_st* handle() const { return certificate_.get(); }  // for this folder

  private:
    Certificate(Bytes der, std::shared_ptr<x509_st> certificate)
        : der_(std::move(der)), certificate_(std::move(certificate)) {}
    static Result<Certificate> adopt(std::shared_ptr<x509_st> certificate);
    friend Result<Certificate> issue_certificate(const struct CertificatePlan&, const PublicKey&,
                                                 const PrivateKey&, const Certificate*);

    Bytes der_;
    std::shared_ptr<x509_st> certificate_;
};

enum class Criticality { NotCritical, Critical };

// What a new certificate is to say. basicConstraints is always there and critical.
struct CertificatePlan {
    DistinguishedName subject;
    TimePoint not_before;
    TimePoint not_after;
    Bytes serial;  // big-endian, at most 20 bytes; empty: 16 random ones

    bool authority = false;
    std::optional<uint32_t> path_length;  // of an authority

    std::vector<KeyUsage> key_usage;  // empty: no such extension
    Criticality key_usage_criticality = Criticality::Critical;
    bool key_identifiers = false;  // subjectKeyIdentifier, and authorityKeyIdentifier unless self-signed
};

// `issuer` is the certificate of `issuer_key`; nullptr issues a self-signed certificate.
Result<Certificate> issue_certificate(const CertificatePlan& plan, const PublicKey& subject_key,
                                      const PrivateKey& issuer_key, const Certificate* issuer);

std::string time_text(TimePoint time);  // "2025-06-15 15:06:40 UTC"

// "64:1a:03:..." or without colons, in either case, as 32 bytes.
Result<Sha256Value> parse_fingerprint(std::string_view text);

}  // namespace alcove::crypto

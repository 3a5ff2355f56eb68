// SPDX-License-Identifier: Apache-2.0
#include "crypto/certificate.hpp"

#include <algorithm>
#include <array>
#include <ctime>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "codec/hex.hpp"
#include "crypto/openssl_handles.hpp"
#include "crypto/random.hpp"

namespace alcove::crypto {

namespace {

constexpr size_t kMaxCertificates = 64;  // in one PEM text

struct NameAttribute {
    int nid;
    std::string DistinguishedName::*member;
};
constexpr std::array<NameAttribute, 6> kNameAttributes{{
    {NID_countryName, &DistinguishedName::country},
    {NID_stateOrProvinceName, &DistinguishedName::state},
    {NID_localityName, &DistinguishedName::locality},
    {NID_organizationName, &DistinguishedName::organization},
    {NID_organizationalUnitName, &DistinguishedName::organizational_unit},
    {NID_commonName, &DistinguishedName::common_name},
}};

std::string attribute_text(X509_NAME* name, int nid) {
    const int index = X509_NAME_get_index_by_NID(name, nid, -1);
    if (index < 0) return {};
    unsigned char* text = nullptr;
    const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
    if (size < 0) {
        ERR_clear_error();
        return {};
    }
    std::string copy(as_text({text, static_cast<size_t>(size)}));
    OPENSSL_free(text);
    return copy;
}

DistinguishedName name_of(X509_NAME* name) {
    DistinguishedName copy;
    for (const auto& attribute : kNameAttributes)
        copy.*attribute.member = attribute_text(name, attribute.nid);
    return copy;
}

Result<openssl::Name> make_name(const DistinguishedName& name) {
    openssl::Name made(X509_NAME_new());
    if (!made) return openssl::failure(ErrorCode::CryptoFailed, "a name cannot be made");
    for (const auto& attribute : kNameAttributes) {
        const auto& text = name.*attribute.member;
        if (text.empty()) continue;
        if (X509_NAME_add_entry_by_NID(made.get(), attribute.nid, MBSTRING_UTF8,
                                       reinterpret_cast<const unsigned char*>(text.data()),
                                       static_cast<int>(text.size()), -1, 0) != 1)
            return openssl::failure(ErrorCode::InvalidArgument, "'" + text + "' cannot stand in a name");
    }
    return made;
}

// `otherwise` for what is no time at all.
TimePoint time_of(const ASN1_TIME* time, TimePoint otherwise) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) {
        ERR_clear_error();
        return otherwise;
    }
    return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

Result<openssl::Time> make_time(TimePoint time) {
    openssl::Time made(ASN1_TIME_set(nullptr, std::chrono::system_clock::to_time_t(time)));
    if (!made) return openssl::failure(ErrorCode::CryptoFailed, "a time cannot be made");
    return made;
}

uint32_t flag_of(KeyUsage usage) {
    switch (usage) {
        case KeyUsage::digitalSignature:
            return KU_DIGITAL_SIGNATURE;
        case KeyUsage::nonRepudiation:
            return KU_NON_REPUDIATION;
        case KeyUsage::keyCertSign:
            return KU_KEY_CERT_SIGN;
        case KeyUsage::cRLSign:
            return KU_CRL_SIGN;
    }
    return 0;
}

std::string_view name_of(KeyUsage usage) {
    switch (usage) {
        case KeyUsage::digitalSignature:
            return "digitalSignature";
        case KeyUsage::nonRepudiation:
            return "nonRepudiation";
        case KeyUsage::keyCertSign:
            return "keyCertSign";
        case KeyUsage::cRLSign:
            return "cRLSign";
    }
    return {};
}

// One extension in the library's configuration language ("critical,CA:TRUE,pathlen:0").
Result<void> add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context{};
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const openssl::Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "extension '" + value + "' cannot be added");
    return {};
}

Result<void> add_extensions(X509* certificate, X509* issuer, const CertificatePlan& plan) {
    std::string constraints = plan.authority ? "critical,CA:TRUE" : "critical,CA:FALSE";
    if (plan.authority && plan.path_length) constraints += ",pathlen:" + std::to_string(*plan.path_length);
    TRY(add_extension(certificate, issuer, NID_basic_constraints, constraints));
    if (!plan.key_usage.empty()) {
        std::string usages = plan.key_usage_criticality == Criticality::Critical ? "critical" : "";
        for (const auto usage : plan.key_usage) {
            if (!usages.empty()) usages += ',';
            usages += name_of(usage);
        }
        TRY(add_extension(certificate, issuer, NID_key_usage, usages));
    }
    if (plan.key_identifiers) {
        TRY(add_extension(certificate, issuer, NID_subject_key_identifier, "hash"));
        if (issuer != certificate)
            TRY(add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always"));
    }
    return {};
}

Result<void> set_serial(X509* certificate, Bytes serial) {
    if (serial.empty()) {
        const auto random = TRY(random_array<16>());
        serial.assign(random.begin(), random.end());
        serial[0] = static_cast<uint8_t>((serial[0] & 0x7f) | 0x40);  // positive, and always of 16 bytes
    }
    const openssl::Number number(BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr));
    const openssl::Serial encoded(number ? BN_to_ASN1_INTEGER(number.get(), nullptr) : nullptr);
    if (serial.size() > 20 || !encoded || X509_set_serialNumber(certificate, encoded.get()) != 1)
        return openssl::failure(ErrorCode::InvalidArgument, "a serial number has at most 20 bytes");
    return {};
}

}  // namespace

Result<Certificate> Certificate::adopt(std::shared_ptr<x509_st> certificate) {
    unsigned char* encoded = nullptr;
    const int size = i2d_X509(certificate.get(), &encoded);
    if (size <= 0) return openssl::failure(ErrorCode::CryptoFailed, "the certificate cannot be encoded");
    Bytes der(encoded, encoded + size);
    OPENSSL_free(encoded);
    // Reads the extensions once, so that nothing changes the object later.
    static_cast<void>(X509_check_purpose(certificate.get(), -1, 0));
    ERR_clear_error();
    return Certificate(std::move(der), std::move(certificate));
}

Result<Certificate> Certificate::from_der(ByteView der) {
    const uint8_t* at = der.data();
    std::shared_ptr<X509> certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())), X509_free);
    if (!certificate) return openssl::failure(ErrorCode::ChainInvalid, "not a DER certificate");
    if (at != der.data() + der.size()) return fail(ErrorCode::ChainInvalid, "bytes behind the certificate");
    auto adopted = TRY(adopt(std::move(certificate)));
    // What is signed and fingerprinted is what came in, and it must be what the library understood.
    if (!std::ranges::equal(adopted.der_, der))
        return fail(ErrorCode::ChainInvalid, "the certificate is not in DER");
    return adopted;
}

Result<Certificate> Certificate::from_pem(std::string_view pem) {
    const auto certificates = TRY(all_from_pem(pem));
    return certificates.front();
}

Result<std::vector<Certificate>> Certificate::all_from_pem(std::string_view pem) {
    const auto bio = TRY(openssl::reading(as_byte_view(pem)));
    std::vector<Certificate> certificates;
    while (certificates.size() < kMaxCertificates) {
        std::shared_ptr<X509> certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
        if (!certificate) break;
        auto adopted = TRY(adopt(std::move(certificate)));
        certificates.push_back(std::move(adopted));
    }
    const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (certificates.empty() || !at_end)
        return openssl::failure(ErrorCode::ChainInvalid, "not a text of PEM certificates");
    ERR_clear_error();
    return certificates;
}

Result<std::string> Certificate::to_pem() const {
    const auto bio = TRY(openssl::writing());
    if (PEM_write_bio_X509(bio.get(), certificate_.get()) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the certificate cannot be encoded");
    return std::string(as_text(openssl::written(bio)));
}

Sha256Value Certificate::fingerprint() const {
    return sha256(der_);
}

DistinguishedName Certificate::subject() const {
    return name_of(X509_get_subject_name(certificate_.get()));
}

DistinguishedName Certificate::issuer() const {
    return name_of(X509_get_issuer_name(certificate_.get()));
}

std::string Certificate::subject_text() const {
    const auto bio = openssl::writing();
    if (!bio || X509_NAME_print_ex(bio->get(), X509_get_subject_name(certificate_.get()), 0,
                                   XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB)) < 0) {
        ERR_clear_error();
        return {};
    }
    return std::string(as_text(openssl::written(*bio)));
}

Bytes Certificate::serial() const {
    const openssl::Number number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate_.get()), nullptr));
    if (!number) {
        ERR_clear_error();
        return {};
    }
    Bytes bytes(static_cast<size_t>(BN_num_bytes(number.get())));
    BN_bn2bin(number.get(), bytes.data());
    return bytes;
}

TimePoint Certificate::not_before() const {
    return time_of(X509_get0_notBefore(certificate_.get()), TimePoint::max());
}

TimePoint Certificate::not_after() const {
    return time_of(X509_get0_notAfter(certificate_.get()), TimePoint::min());
}

Result<PublicKey> Certificate::public_key() const {
    std::shared_ptr<EVP_PKEY> key(X509_get_pubkey(certificate_.get()), EVP_PKEY_free);
    if (!key) return openssl::failure(ErrorCode::KeyInvalid, "the certificate's key cannot be read");
    return PublicKey::adopt(std::move(key));
}

bool Certificate::is_authority() const {
    const uint32_t flags = X509_get_extension_flags(certificate_.get());
    return (flags & EXFLAG_CA) != 0 && (flags & EXFLAG_INVALID) == 0;
}

std::optional<uint32_t> Certificate::path_length() const {
    const long length = X509_get_pathlen(certificate_.get());
    if (length < 0) return std::nullopt;
    return static_cast<uint32_t>(length);
}

bool Certificate::allows(KeyUsage usage) const {
    if ((X509_get_extension_flags(certificate_.get()) & EXFLAG_KUSAGE) == 0) return false;
    return (X509_get_key_usage(certificate_.get()) & flag_of(usage)) != 0;
}

Result<Certificate> issue_certificate(const CertificatePlan& plan, const PublicKey& subject_key,
                                      const PrivateKey& issuer_key, const Certificate* issuer) {
    std::shared_ptr<X509> made(X509_new(), X509_free);
    const auto name = TRY(make_name(plan.subject));
    const auto not_before = TRY(make_time(plan.not_before));
    const auto not_after = TRY(make_time(plan.not_after));
    X509_NAME* issuer_name = issuer != nullptr ? X509_get_subject_name(issuer->handle()) : name.get();
    if (!made || X509_set_version(made.get(), X509_VERSION_3) != 1 ||
        X509_set_subject_name(made.get(), name.get()) != 1 ||
        X509_set_issuer_name(made.get(), issuer_name) != 1 ||
        X509_set1_notBefore(made.get(), not_before.get()) != 1 ||
        X509_set1_notAfter(made.get(), not_after.get()) != 1 ||
        X509_set_pubkey(made.get(), subject_key.handle()) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the certificate cannot be made");
    TRY(set_serial(made.get(), plan.serial));
    TRY(add_extensions(made.get(), issuer != nullptr ? issuer->handle() : made.get(), plan));
    if (X509_sign(made.get(), issuer_key.handle(), openssl::method(digest_of(issuer_key.curve()))) <= 0)
        return openssl::failure(ErrorCode::CryptoFailed, "the certificate cannot be signed");
    // A library object that was built is not one that was read: caches differ. Read what was made.
    const auto built = TRY(Certificate::adopt(std::move(made)));
    return Certificate::from_der(built.der());
}

Result<Sha256Value> parse_fingerprint(std::string_view text) {
    std::string digits;
    std::ranges::copy_if(text, std::back_inserter(digits), [](char c) { return c != ':'; });
    const auto bytes = TRY(codec::hex_decode(digits).context("a SHA-256 fingerprint"));
    Sha256Value value{};
    if (bytes.size() != value.size())
        return fail(ErrorCode::InvalidArgument, "a SHA-256 fingerprint has 64 hexadecimal digits");
    std::ranges::copy(bytes, value.begin());
    return value;
}

std::string time_text(TimePoint time) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    std::tm parts{};
    char text[64];
    if (::gmtime_r(&seconds, &parts) == nullptr) return "no time";
    return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

}  // namespace alcove::crypto

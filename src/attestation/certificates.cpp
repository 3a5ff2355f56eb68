// SPDX-License-Identifier: Apache-2.0
#include "attestation/certificates.hpp"

#include <algorithm>

#include "codec/hex.hpp"
#include "crypto/random.hpp"
#include "support/endian.hpp"

namespace alcove::attestation {

namespace {

using crypto::CertificatePlan;
using crypto::Criticality;
using crypto::KeyUsage;

constexpr size_t kMaxCommonName = 64;                         // RFC 5280, ub-common-name
constexpr auto kAuthorityBackdate = std::chrono::minutes(1);  // verifiers whose clocks are a little behind

Result<std::string> unique_name(std::string_view prefix) {
    const auto random = TRY(crypto::random_array<8>());
    return std::string(prefix) + codec::hex_encode(random);
}

CertificatePlan authority_plan(std::string common_name, TimePoint not_before, TimePoint not_after) {
    CertificatePlan plan;
    plan.subject.organization = kOrganization;
    plan.subject.common_name = std::move(common_name);
    plan.not_before = not_before;
    plan.not_after = not_after;
    plan.authority = true;
    plan.key_usage = {KeyUsage::digitalSignature, KeyUsage::keyCertSign, KeyUsage::cRLSign};
    plan.key_identifiers = true;
    return plan;
}

// AWS's scheme: 8 bytes of the enclave (here random), 4 of zero, the time of issue in seconds.
Result<Bytes> leaf_serial(TimePoint now) {
    auto random = TRY(crypto::random_array<8>());
    random[0] = static_cast<uint8_t>((random[0] & 0x7f) | 0x40);  // positive, of a fixed length
    const Be32 zero = 0;
    const Be32 seconds = static_cast<uint32_t>(std::chrono::system_clock::to_time_t(now));
    Bytes serial = to_bytes(random);
    for (const auto part : {object_bytes(zero), object_bytes(seconds)})
        serial.insert(serial.end(), part.begin(), part.end());
    return serial;
}

Result<Certificate> within_size(Certificate certificate) {
    if (certificate.der().size() > kMaxCertificateSize)
        return fail(ErrorCode::CryptoFailed, "the certificate has " +
                                                 std::to_string(certificate.der().size()) +
                                                 " bytes, a document's may have 1024");
    return certificate;
}

}  // namespace

Result<Certificate> make_root(const PrivateKey& key, HostKind kind, TimePoint now) {
    auto name = TRY(unique_name("alcove.root."));
    auto plan = authority_plan(std::move(name), now - kAuthorityBackdate, now + kRootLifetime);
    if (kind == HostKind::Development) plan.subject.organizational_unit = kDevelopmentUnit;
    auto certificate = TRY(crypto::issue_certificate(plan, key.public_key(), key, nullptr));
    return within_size(std::move(certificate));
}

Result<Certificate> make_intermediate(const PublicKey& key, HostKind kind, const PrivateKey& issuer_key,
                                      const Certificate& issuer, TimePoint now) {
    auto name = TRY(unique_name("alcove.host."));
    auto plan = authority_plan(std::move(name), now - kAuthorityBackdate,
                               std::min<TimePoint>(now + kIntermediateLifetime, issuer.not_after()));
    if (kind == HostKind::Development) plan.subject.organizational_unit = kDevelopmentUnit;
    plan.path_length = 0;
    auto certificate = TRY(crypto::issue_certificate(plan, key, issuer_key, &issuer));
    return within_size(std::move(certificate));
}

Result<Certificate> make_leaf(const PublicKey& key, const PrivateKey& issuer_key, const Certificate& issuer,
                              std::string_view vm_id, TimePoint now) {
    auto serial = TRY(leaf_serial(now));
    CertificatePlan plan;
    plan.subject.organization = kOrganization;
    plan.subject.common_name = ("alcove.enclave." + std::string(vm_id)).substr(0, kMaxCommonName);
    plan.not_before = now - kLeafBackdate;
    plan.not_after = std::min<TimePoint>(plan.not_before + kLeafLifetime, issuer.not_after());
    plan.serial = std::move(serial);
    plan.key_usage = {KeyUsage::digitalSignature, KeyUsage::nonRepudiation};
    plan.key_usage_criticality = Criticality::NotCritical;
    auto certificate = TRY(crypto::issue_certificate(plan, key, issuer_key, &issuer));
    return within_size(std::move(certificate));
}

bool is_development(const Certificate& certificate) {
    const auto subject = certificate.subject();
    return subject.organization == kOrganization && subject.organizational_unit == kDevelopmentUnit;
}

}  // namespace alcove::attestation

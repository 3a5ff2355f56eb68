// SPDX-License-Identifier: Apache-2.0
//
// The certificates behind a document (nitro.md 4.7), with names that are clearly not AWS's:
//
//     alcove.root.<16 hex>       per host, or the operator's own    30 years
//     alcove.host.<16 hex>       per start of the attestor          20 days     pathLen 0
//     alcove.enclave.<vm id>     per enclave, renewed               3 hours     no authority
//
// All P-384, each at most 1024 bytes. A development root (of an embedded host, whose keys lie in a user's
// folder) says so in its subject, and a verifier refuses it unless told otherwise.
#pragma once

#include <chrono>
#include <string_view>

#include "crypto/certificate.hpp"
#include "crypto/key.hpp"
#include "support/result.hpp"

namespace alcove::attestation {

using crypto::Certificate;
using crypto::PrivateKey;
using crypto::PublicKey;
using crypto::TimePoint;

inline constexpr std::string_view kOrganization = "Alcove";
inline constexpr std::string_view kDevelopmentUnit = "Development - do not trust";
inline constexpr size_t kMaxCertificateSize = 1024;  // nitro.md 4.5
inline constexpr auto kRootLifetime = std::chrono::hours(24) * 365 * 30;
inline constexpr auto kIntermediateLifetime = std::chrono::hours(24) * 20;
inline constexpr auto kLeafLifetime = std::chrono::hours(3);
inline constexpr auto kLeafBackdate = std::chrono::seconds(3);

enum class HostKind { Production, Development };

Result<Certificate> make_root(const PrivateKey& key, HostKind kind, TimePoint now);
// `issuer` may be a root or an authority below it. Not longer valid than its issuer. A development host marks
// its intermediates too: its root may be an operator's, which is not marked.
Result<Certificate> make_intermediate(const PublicKey& key, HostKind kind, const PrivateKey& issuer_key,
                                      const Certificate& issuer, TimePoint now);
Result<Certificate> make_leaf(const PublicKey& key, const PrivateKey& issuer_key, const Certificate& issuer,
                              std::string_view vm_id, TimePoint now);

// Whether this authority is marked as a development host's.
bool is_development(const Certificate& certificate);

}  // namespace alcove::attestation

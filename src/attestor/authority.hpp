// SPDX-License-Identifier: Apache-2.0
//
// Whose word a document is: the keys of this host and the certificates above them. Three ways to have them:
//
//     nothing given          root.pem in the state folder, made at the first start: key and certificate
//     root key + root        the operator's root, whose key is here
//     CA key + CA + root     an authority below the operator's root, whose key is elsewhere
//
// Below that an intermediate for this start of the process, whose key is never on disk, and below that the
// enclaves' certificates. An operator's CA with pathLen 0 can have no intermediate and issues them itself.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attestation/certificates.hpp"
#include "support/result.hpp"

namespace alcove::attestor {

using attestation::HostKind;
using crypto::Certificate;
using crypto::PrivateKey;
using crypto::TimePoint;
using Clock = std::function<TimePoint()>;

// What an enclave signs with, and the certificates that vouch for it.
struct LeafIdentity {
    PrivateKey key;
    Certificate certificate;
    std::shared_ptr<const std::vector<Certificate>> bundle;  // root first
};

class Authority {
  public:
    struct Files {
        std::string state_folder;
        std::string root_certificate;  // PEM; with one of the keys below
        std::string root_key;
        std::string ca_certificate;  // PEM: the CA first, then those above it, without the root
        std::string ca_key;
    };

    // Errors: PermissionDenied for files open to others, KeyInvalid and ChainInvalid for keys and
    // certificates that do not belong together, InvalidArgument for an impossible combination of files,
    // DevelopmentRoot when the stored root is of the other kind.
    static Result<Authority> open(const Files& files, HostKind kind, Clock clock);
    // With a new root that is nowhere stored: for tests and benchmarks.
    static Result<Authority> ephemeral(HostKind kind, Clock clock);

    const Certificate& root() const { return parent_bundle_.front(); }
    HostKind kind() const { return kind_; }
    TimePoint now() const { return clock_(); }
    TimePoint issuer_not_after() const { return issuer_.bundle->back().not_after(); }

    // A new key and certificate for one enclave. Renews the intermediate when its end is near.
    Result<LeafIdentity> issue_leaf(std::string_view vm_id);

  private:
    struct Issuer {
        std::optional<PrivateKey> key;  // nothing: the parent's
        std::shared_ptr<const std::vector<Certificate>> bundle;
    };
    Authority(HostKind kind, Clock clock, PrivateKey parent_key, std::vector<Certificate> parent_bundle)
        : kind_(kind),
          clock_(std::move(clock)),
          parent_key_(std::move(parent_key)),
          parent_bundle_(std::move(parent_bundle)) {}
    static Result<Authority> with_issuer(Authority authority);
    Result<Issuer> make_issuer() const;

    HostKind kind_;
    Clock clock_;
    PrivateKey parent_key_;                   // of the last of parent_bundle_
    std::vector<Certificate> parent_bundle_;  // root first
    Issuer issuer_;
};

}  // namespace alcove::attestor

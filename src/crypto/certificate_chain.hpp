// SPDX-License-Identifier: Apache-2.0
//
// Does this certificate lead to the root that I trust? The library's path validation (RFC 5280, 6) does the
// work, against a store that holds nothing but the pinned root; around it stand the demands that validation
// leaves open: the path is exactly the one that was given, every authority says that it is one, and lists
// of revoked certificates count for every link.
//
// Errors: RootUntrusted, CertificateExpired, CertificateRevoked, and ChainInvalid for everything else.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "crypto/certificate.hpp"
#include "support/result.hpp"

struct X509_crl_st;

namespace alcove::crypto {

// A list of revoked certificates (CRL), signed by the authority that issued them. A value.
class RevocationList {
  public:
    static Result<RevocationList> from_der(ByteView der);
    static Result<RevocationList> from_pem(std::string_view pem);
    static Result<RevocationList> from_pem_or_der(ByteView file);

    // Made and signed by an authority: what it revokes from `this_update` on; a new list is due at
    // `next_update`.
    static Result<RevocationList> issue(std::span<const Certificate> revoked, const Certificate& authority,
                                        const PrivateKey& authority_key, TimePoint this_update,
                                        TimePoint next_update);

    Result<std::string> to_pem() const;
    bool is_of(const Certificate& authority) const;      // by name
    X509_crl_st* handle() const { return list_.get(); }  // for this folder

  private:
    explicit RevocationList(std::shared_ptr<X509_crl_st> list) : list_(std::move(list)) {}

    std::shared_ptr<X509_crl_st> list_;
};

// `bundle` is the document's order: the root first, then downwards; it may not be empty. Its first entry must
// be `root` byte for byte, and each certificate must have issued the next. Without a time, times are not
// looked at. A list for which no authority of the chain stands is not used; an authority without a list is
// taken as revoking nothing; a list that is out of date or not signed by its authority is ChainInvalid.
Result<void> verify_chain(const Certificate& leaf, std::span<const Certificate> bundle,
                          const Certificate& root, std::optional<TimePoint> time,
                          std::span<const RevocationList> revocation_lists = {});

// Is this certificate valid at this time? CertificateExpired, with its subject and times, when it is not.
Result<void> check_validity(const Certificate& certificate, TimePoint time);

}  // namespace alcove::crypto

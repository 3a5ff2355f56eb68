// SPDX-License-Identifier: Apache-2.0
#include "attestor/authority.hpp"

#include <algorithm>

#include "attestor/key_files.hpp"
#include "crypto/certificate_chain.hpp"
#include "support/bits.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::attestor {

namespace {

constexpr auto kRenewIssuerBefore = std::chrono::hours(24);
constexpr uint64_t kMaxCertificateFile = 256_KiB;

struct Parent {
    PrivateKey key;
    std::vector<Certificate> bundle;  // root first
};

Result<std::vector<Certificate>> read_certificates(const std::string& path) {
    const auto content = TRY(sys::read_file(path, kMaxCertificateFile));
    return Certificate::all_from_pem(as_text(content)).context(path);
}

Result<PrivateKey> read_key(const std::string& path) {
    const auto content = TRY(read_key_file(path, Sharing::OwnerAndGroup));
    return PrivateKey::from_pem(as_text(content.view())).context(path);
}

Result<Parent> check_parent(Parent parent, TimePoint now) {
    const auto& last = parent.bundle.back();
    const auto key = TRY(last.public_key());
    if (key != parent.key.public_key())
        return fail(ErrorCode::KeyInvalid, "the key is not that of " + last.subject_text());
    for (const auto& certificate : parent.bundle) {
        if (certificate.der().size() > attestation::kMaxCertificateSize)
            return fail(ErrorCode::ChainInvalid,
                        certificate.subject_text() + " has more than 1024 bytes, too many for a document");
        if (!certificate.is_authority() || !certificate.allows(crypto::KeyUsage::keyCertSign))
            return fail(ErrorCode::ChainInvalid, certificate.subject_text() + " may not issue certificates");
        TRY(crypto::check_validity(certificate, now));
    }
    if (parent.bundle.size() > 1)
        TRY(crypto::verify_chain(last, std::span(parent.bundle).first(parent.bundle.size() - 1),
                                 parent.bundle.front(), now));
    return parent;
}

Result<Parent> make_root(HostKind kind, TimePoint now) {
    auto key = TRY(PrivateKey::generate(crypto::Curve::P384));
    auto certificate = TRY(attestation::make_root(key, kind, now));
    std::vector<Certificate> bundle;
    bundle.push_back(std::move(certificate));
    return Parent{.key = std::move(key), .bundle = std::move(bundle)};
}

// Key and certificate in one file, so that there is never one without the other.
Result<void> store_root(const std::string& path, const Parent& root) {
    const auto key = TRY(root.key.to_pem());
    const auto certificate = TRY(root.bundle.front().to_pem());
    Bytes content;
    content.reserve(key.view().size() + certificate.size());
    content.insert(content.end(), key.view().begin(), key.view().end());
    content.insert(content.end(), certificate.begin(), certificate.end());
    const crypto::SecretBytes secret(std::move(content));
    return sys::replace_file(path, secret.view(), 0600);
}

Result<Parent> stored_or_new_root(const std::string& folder, HostKind kind, TimePoint now) {
    const std::string path = folder + "/root.pem";
    const auto content = read_key_file(path, Sharing::OwnerOnly);
    if (!content && content.error().code() != ErrorCode::NotFound) return Failure{content.error()};
    if (!content) {
        auto made = TRY(make_root(kind, now));
        TRY(store_root(path, made));
        log::info("made the attestation root of this host, {}", made.bundle.front().subject_text());
        return made;
    }
    auto key = TRY(PrivateKey::from_pem(as_text(content->view())).context(path));
    auto certificate = TRY(Certificate::from_pem(as_text(content->view())).context(path));
    if (attestation::is_development(certificate) != (kind == HostKind::Development))
        return fail(ErrorCode::DevelopmentRoot,
                    path + (kind == HostKind::Development ? " is not the root of a development host"
                                                          : " is the root of a development host"));
    std::vector<Certificate> bundle;
    bundle.push_back(std::move(certificate));
    return check_parent({.key = std::move(key), .bundle = std::move(bundle)}, now);
}

Result<Parent> given_parent(const Authority::Files& files, TimePoint now) {
    const bool whole_root = !files.root_key.empty();
    if (files.root_certificate.empty() || whole_root == !files.ca_key.empty() ||
        files.ca_key.empty() != files.ca_certificate.empty())
        return fail(
            ErrorCode::InvalidArgument,
            "give the root's certificate and key, or the root's certificate and a CA's certificate and key");
    auto bundle = TRY(read_certificates(files.root_certificate));
    if (bundle.size() != 1)
        return fail(ErrorCode::InvalidArgument, files.root_certificate + " has more than one certificate");
    auto key = TRY(read_key(whole_root ? files.root_key : files.ca_key));
    if (!whole_root) {
        const auto below = TRY(read_certificates(files.ca_certificate));
        bundle.insert(bundle.end(), below.rbegin(), below.rend());
    }
    return check_parent({.key = std::move(key), .bundle = std::move(bundle)}, now);
}

}  // namespace

Result<Authority> Authority::with_issuer(Authority authority) {
    auto issuer = TRY(authority.make_issuer());
    authority.issuer_ = std::move(issuer);
    return authority;
}

Result<Authority> Authority::open(const Files& files, HostKind kind, Clock clock) {
    TRY(prepare_private_folder(files.state_folder));
    const bool given = !files.root_certificate.empty() || !files.root_key.empty() ||
                       !files.ca_certificate.empty() || !files.ca_key.empty();
    auto parent =
        TRY(given ? given_parent(files, clock()) : stored_or_new_root(files.state_folder, kind, clock()));
    // The mark stands in the intermediate when the root is an operator's; there must be place for one.
    if (kind == HostKind::Development && parent.bundle.back().path_length() == 0U &&
        !std::ranges::any_of(parent.bundle, attestation::is_development))
        return fail(ErrorCode::InvalidArgument,
                    "a development host's CA needs a pathLen of 1 or more, or none");
    const auto pem = TRY(parent.bundle.front().to_pem());
    TRY(sys::replace_file(files.state_folder + "/root-certificate.pem", as_byte_view(pem), 0644));
    return with_issuer(Authority(kind, std::move(clock), std::move(parent.key), std::move(parent.bundle)));
}

Result<Authority> Authority::ephemeral(HostKind kind, Clock clock) {
    auto parent = TRY(make_root(kind, clock()));
    return with_issuer(Authority(kind, std::move(clock), std::move(parent.key), std::move(parent.bundle)));
}

Result<Authority::Issuer> Authority::make_issuer() const {
    const auto& parent = parent_bundle_.back();
    TRY(crypto::check_validity(parent, now()));
    if (parent.path_length() == 0U)
        return Issuer{.key = std::nullopt,
                      .bundle = std::make_shared<std::vector<Certificate>>(parent_bundle_)};
    auto key = TRY(PrivateKey::generate(crypto::Curve::P384));
    auto certificate =
        TRY(attestation::make_intermediate(key.public_key(), kind_, parent_key_, parent, now()));
    auto bundle = std::make_shared<std::vector<Certificate>>(parent_bundle_);
    bundle->push_back(std::move(certificate));
    return Issuer{.key = std::move(key), .bundle = std::move(bundle)};
}

Result<LeafIdentity> Authority::issue_leaf(std::string_view vm_id) {
    if (now() + kRenewIssuerBefore > issuer_not_after() || now() < issuer_.bundle->back().not_before()) {
        auto renewed = TRY(make_issuer());
        issuer_ = std::move(renewed);
    }
    auto key = TRY(PrivateKey::generate(crypto::Curve::P384));
    auto certificate = TRY(attestation::make_leaf(key.public_key(), issuer_.key ? *issuer_.key : parent_key_,
                                                  issuer_.bundle->back(), vm_id, now()));
    return LeafIdentity{
        .key = std::move(key), .certificate = std::move(certificate), .bundle = issuer_.bundle};
}

}  // namespace alcove::attestor

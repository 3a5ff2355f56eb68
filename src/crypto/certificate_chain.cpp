// SPDX-License-Identifier: Apache-2.0
#include "crypto/certificate_chain.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "crypto/openssl_handles.hpp"

namespace alcove::crypto {

namespace {

constexpr int kSecurityLevel = 3;  // 128 bits at least: no SHA-1, no curve below P-256

ErrorCode code_of(int verify_error) {
    switch (verify_error) {
        case X509_V_ERR_CERT_NOT_YET_VALID:
        case X509_V_ERR_CERT_HAS_EXPIRED:
            return ErrorCode::CertificateExpired;
        case X509_V_ERR_CERT_REVOKED:
            return ErrorCode::CertificateRevoked;
        default:
            return ErrorCode::ChainInvalid;
    }
}

// Lists are asked for along the whole chain; having none for an authority is allowed.
int accept_missing_list(int valid, X509_STORE_CTX* context) {
    if (valid == 0 && X509_STORE_CTX_get_error(context) == X509_V_ERR_UNABLE_TO_GET_CRL) {
        X509_STORE_CTX_set_error(context, X509_V_OK);
        return 1;
    }
    return valid;
}

Result<openssl::Store> make_store(const Certificate& root, std::span<const RevocationList> lists) {
    openssl::Store store(X509_STORE_new());
    if (!store || X509_STORE_add_cert(store.get(), root.handle()) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the root cannot be used");
    for (const auto& list : lists)
        if (X509_STORE_add_crl(store.get(), list.handle()) != 1)
            return openssl::failure(ErrorCode::CryptoFailed, "a revocation list cannot be used");
    return store;
}

Result<openssl::CertificateStack> make_stack(std::span<const Certificate> certificates) {
    openssl::CertificateStack stack(sk_X509_new_null());
    if (!stack) return openssl::failure(ErrorCode::CryptoFailed, "a stack cannot be made");
    for (const auto& certificate : certificates)
        if (X509_add_cert(stack.get(), certificate.handle(), X509_ADD_FLAG_UP_REF) != 1)
            return openssl::failure(ErrorCode::CryptoFailed, "a stack cannot be filled");
    return stack;
}

Result<void> check_authority(const Certificate& certificate) {
    if (!certificate.is_authority() || !certificate.allows(KeyUsage::keyCertSign))
        return fail(ErrorCode::ChainInvalid, certificate.subject_text() + " may not issue certificates");
    return {};
}

// The path that was found, against the one that was given: a bundle with strangers in it is refused.
Result<void> check_same_path(X509_STORE_CTX* context, const Certificate& leaf,
                             std::span<const Certificate> bundle) {
    const STACK_OF(X509)* path = X509_STORE_CTX_get0_chain(context);
    bool same = sk_X509_num(path) == static_cast<int>(bundle.size()) + 1 &&
                X509_cmp(sk_X509_value(path, 0), leaf.handle()) == 0;
    for (size_t i = 0; same && i < bundle.size(); ++i)
        same = X509_cmp(sk_X509_value(path, static_cast<int>(bundle.size() - i)), bundle[i].handle()) == 0;
    if (!same) return fail(ErrorCode::ChainInvalid, "the certificates do not follow one another, root first");
    return {};
}

}  // namespace

Result<RevocationList> RevocationList::from_der(ByteView der) {
    const uint8_t* at = der.data();
    std::shared_ptr<X509_CRL> list(d2i_X509_CRL(nullptr, &at, static_cast<long>(der.size())), X509_CRL_free);
    if (!list || at != der.data() + der.size())
        return openssl::failure(ErrorCode::InvalidArgument, "not a DER revocation list");
    return RevocationList(std::move(list));
}

Result<RevocationList> RevocationList::from_pem(std::string_view pem) {
    const auto bio = TRY(openssl::reading(as_byte_view(pem)));
    std::shared_ptr<X509_CRL> list(PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr),
                                   X509_CRL_free);
    if (!list) return openssl::failure(ErrorCode::InvalidArgument, "not a PEM revocation list");
    return RevocationList(std::move(list));
}

Result<RevocationList> RevocationList::from_pem_or_der(ByteView file) {
    if (as_text(file).find("-----BEGIN") != std::string_view::npos) return from_pem(as_text(file));
    return from_der(file);
}

Result<RevocationList> RevocationList::issue(std::span<const Certificate> revoked,
                                             const Certificate& authority, const PrivateKey& authority_key,
                                             TimePoint this_update, TimePoint next_update) {
    std::shared_ptr<X509_CRL> list(X509_CRL_new(), X509_CRL_free);
    const openssl::Time from(ASN1_TIME_set(nullptr, std::chrono::system_clock::to_time_t(this_update)));
    const openssl::Time until(ASN1_TIME_set(nullptr, std::chrono::system_clock::to_time_t(next_update)));
    if (!list || !from || !until || X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) != 1 ||
        X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(authority.handle())) != 1 ||
        X509_CRL_set1_lastUpdate(list.get(), from.get()) != 1 ||
        X509_CRL_set1_nextUpdate(list.get(), until.get()) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the revocation list cannot be made");
    for (const auto& certificate : revoked) {
        std::unique_ptr<X509_REVOKED, decltype(&X509_REVOKED_free)> entry(X509_REVOKED_new(),
                                                                          X509_REVOKED_free);
        if (!entry ||
            X509_REVOKED_set_serialNumber(entry.get(), X509_get_serialNumber(certificate.handle())) != 1 ||
            X509_REVOKED_set_revocationDate(entry.get(), from.get()) != 1 ||
            X509_CRL_add0_revoked(list.get(), entry.get()) != 1)
            return openssl::failure(ErrorCode::CryptoFailed,
                                    "a certificate cannot be put on the revocation list");
        static_cast<void>(entry.release());  // the list owns it now
    }
    const EVP_MD* digest = authority_key.curve() == Curve::P256   ? EVP_sha256()
                           : authority_key.curve() == Curve::P384 ? EVP_sha384()
                                                                  : EVP_sha512();
    if (X509_CRL_sort(list.get()) != 1 || X509_CRL_sign(list.get(), authority_key.handle(), digest) <= 0)
        return openssl::failure(ErrorCode::CryptoFailed, "the revocation list cannot be signed");
    return RevocationList(std::move(list));
}

Result<std::string> RevocationList::to_pem() const {
    const auto bio = TRY(openssl::writing());
    if (PEM_write_bio_X509_CRL(bio.get(), list_.get()) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the revocation list cannot be encoded");
    return std::string(as_text(openssl::written(bio)));
}

bool RevocationList::is_of(const Certificate& authority) const {
    return X509_NAME_cmp(X509_CRL_get_issuer(list_.get()), X509_get_subject_name(authority.handle())) == 0;
}

Result<void> verify_chain(const Certificate& leaf, std::span<const Certificate> bundle,
                          const Certificate& root, std::optional<TimePoint> time,
                          std::span<const RevocationList> revocation_lists) {
    if (bundle.empty()) return fail(ErrorCode::ChainInvalid, "there is no certificate above the leaf");
    if (bundle.front() != root)
        return fail(ErrorCode::RootUntrusted, "the chain begins at " + bundle.front().subject_text() +
                                                  ", which is not the trusted root");
    for (const auto& authority : bundle)
        TRY(check_authority(authority));

    const auto store = TRY(make_store(root, revocation_lists));
    const auto untrusted = TRY(make_stack(bundle));
    const openssl::StoreContext context(X509_STORE_CTX_new());
    if (!context || X509_STORE_CTX_init(context.get(), store.get(), leaf.handle(), untrusted.get()) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the chain cannot be checked");
    X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
    if (time) {
        X509_VERIFY_PARAM_set_time(parameters, std::chrono::system_clock::to_time_t(*time));
    } else {
        X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_NO_CHECK_TIME);
    }
    X509_VERIFY_PARAM_set_auth_level(parameters, kSecurityLevel);
    X509_VERIFY_PARAM_set_depth(parameters, static_cast<int>(bundle.size()));
    if (!revocation_lists.empty()) {
        X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
        X509_STORE_CTX_set_verify_cb(context.get(), accept_missing_list);
    }
    if (X509_verify_cert(context.get()) != 1) {
        const int reason = X509_STORE_CTX_get_error(context.get());
        X509* where = X509_STORE_CTX_get_current_cert(context.get());
        char subject[256] = "the chain";
        if (where != nullptr) X509_NAME_oneline(X509_get_subject_name(where), subject, sizeof subject);
        ERR_clear_error();
        return fail(code_of(reason), std::string(subject) + ": " + X509_verify_cert_error_string(reason));
    }
    return check_same_path(context.get(), leaf, bundle);
}

Result<void> check_validity(const Certificate& certificate, TimePoint time) {
    if (time < certificate.not_before())
        return fail(ErrorCode::CertificateExpired, certificate.subject_text() + " is valid only from " +
                                                       time_text(certificate.not_before()) + " on");
    if (time > certificate.not_after())
        return fail(ErrorCode::CertificateExpired,
                    certificate.subject_text() + " has expired at " + time_text(certificate.not_after()));
    return {};
}

}  // namespace alcove::crypto

// SPDX-License-Identifier: Apache-2.0
#include "crypto/key.hpp"

#include <array>
#include <optional>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include "crypto/openssl_handles.hpp"

namespace alcove::crypto {

namespace {

struct CurveFacts {
    Curve curve;
    const char* group;  // the library's name
    std::string_view name;
    size_t coordinate_size;
    Digest::Algorithm digest;
};

constexpr std::array<CurveFacts, 3> kCurves{{
    {Curve::P256, "prime256v1", "P-256", 32, Digest::Algorithm::SHA256},
    {Curve::P384, "secp384r1", "P-384", 48, Digest::Algorithm::SHA384},
    {Curve::P521, "secp521r1", "P-521", 66, Digest::Algorithm::SHA512},
}};

const CurveFacts& facts(Curve curve) {
    for (const auto& entry : kCurves)
        if (entry.curve == curve) return entry;
    ALCOVE_CHECK(false, "one of the three curves");
}

// Parameters written out can describe a curve that looks like a standard one and has another generator.
bool has_explicit_parameters(EVP_PKEY* key) {
    int decoded_explicit = 0;
    return EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &decoded_explicit) ==
               1 &&
           decoded_explicit != 0;
}

Result<Curve> curve_of(EVP_PKEY* key) {
    std::array<char, 64> group{};
    size_t size = 0;
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
        return fail(ErrorCode::KeyInvalid, "not an elliptic-curve key");
    if (has_explicit_parameters(key) || EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) != 1)
        return openssl::failure(ErrorCode::KeyInvalid, "the key's curve has no name");
    for (const auto& entry : kCurves)
        if (std::string_view(group.data(), size) == entry.group) return entry.curve;
    return fail(ErrorCode::KeyInvalid, "the key's curve is none of P-256, P-384 and P-521");
}

// The private half must never be asked for on a terminal.
int refuse_passphrase(char*, int, int, void*) {
    return -1;
}

Result<Bytes> public_der(EVP_PKEY* key) {
    auto bio = TRY(openssl::writing());
    if (i2d_PUBKEY_bio(bio.get(), key) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the public key cannot be encoded");
    return to_bytes(openssl::written(bio));
}

Result<Bytes> raw_from_der(ByteView der, size_t number_size) {
    const uint8_t* at = der.data();
    const openssl::Signature signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
    Bytes raw(2 * number_size);
    if (!signature ||
        BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), static_cast<int>(number_size)) < 0 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + number_size,
                     static_cast<int>(number_size)) < 0)
        return openssl::failure(ErrorCode::CryptoFailed, "the signature cannot be taken apart");
    return raw;
}

std::optional<Bytes> der_from_raw(ByteView raw, size_t number_size) {
    if (raw.size() != 2 * number_size) return std::nullopt;
    const auto size = static_cast<int>(number_size);
    const openssl::Signature signature(ECDSA_SIG_new());
    openssl::Number r(BN_bin2bn(raw.data(), size, nullptr));
    openssl::Number s(BN_bin2bn(raw.data() + number_size, size, nullptr));
    if (!signature || !r || !s || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return std::nullopt;
    static_cast<void>(r.release());  // the signature owns both now
    static_cast<void>(s.release());
    const int der_size = i2d_ECDSA_SIG(signature.get(), nullptr);
    if (der_size <= 0) return std::nullopt;
    Bytes der(static_cast<size_t>(der_size));
    uint8_t* at = der.data();
    if (i2d_ECDSA_SIG(signature.get(), &at) != der_size) return std::nullopt;
    return der;
}

}  // namespace

size_t coordinate_size(Curve curve) {
    return facts(curve).coordinate_size;
}

Digest::Algorithm digest_of(Curve curve) {
    return facts(curve).digest;
}

std::string_view curve_name(Curve curve) {
    return facts(curve).name;
}

Result<PublicKey> PublicKey::adopt(std::shared_ptr<evp_pkey_st> key) {
    const auto curve = TRY(curve_of(key.get()));
    return PublicKey(std::move(key), curve);
}

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
    const auto bio = TRY(openssl::reading(as_byte_view(pem)));
    std::shared_ptr<EVP_PKEY> key(PEM_read_bio_PUBKEY(bio.get(), nullptr, refuse_passphrase, nullptr),
                                  EVP_PKEY_free);
    if (!key) return openssl::failure(ErrorCode::KeyInvalid, "not a PEM public key");
    return adopt(std::move(key));
}

Result<PublicKey> PublicKey::from_der(ByteView der) {
    const uint8_t* at = der.data();
    std::shared_ptr<EVP_PKEY> key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())), EVP_PKEY_free);
    if (!key) return openssl::failure(ErrorCode::KeyInvalid, "not a DER public key");
    if (at != der.data() + der.size()) return fail(ErrorCode::KeyInvalid, "bytes behind the public key");
    return adopt(std::move(key));
}

Result<std::string> PublicKey::to_pem() const {
    const auto bio = TRY(openssl::writing());
    if (PEM_write_bio_PUBKEY(bio.get(), key_.get()) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the public key cannot be encoded");
    return std::string(as_text(openssl::written(bio)));
}

Result<Bytes> PublicKey::to_der() const {
    return public_der(key_.get());
}

bool PublicKey::verify(ByteView message, ByteView signature) const {
    const auto der = der_from_raw(signature, coordinate_size(curve_));
    if (!der) return false;
    const openssl::DigestContext context(EVP_MD_CTX_new());
    const bool valid =
        context != nullptr &&
        EVP_DigestVerifyInit(context.get(), nullptr, openssl::method(digest_of(curve_)), nullptr,
                             key_.get()) == 1 &&
        EVP_DigestVerify(context.get(), der->data(), der->size(), message.data(), message.size()) == 1;
    if (!valid) static_cast<void>(openssl::failure(ErrorCode::CryptoFailed, ""));  // leave no error behind
    return valid;
}

bool PublicKey::operator==(const PublicKey& other) const {
    return EVP_PKEY_eq(key_.get(), other.key_.get()) == 1;
}

void PrivateKey::Free::operator()(evp_pkey_st* key) const {
    EVP_PKEY_free(key);
}

Result<PrivateKey> PrivateKey::adopt_foreign(Handle key) {
    TRY(curve_of(key.get()));
    const openssl::KeyContext context(EVP_PKEY_CTX_new(key.get(), nullptr));
    if (!context || EVP_PKEY_pairwise_check(context.get()) != 1)
        return openssl::failure(ErrorCode::KeyInvalid,
                                "the key's private and public halves do not belong together");
    return adopt(std::move(key));
}

Result<PrivateKey> PrivateKey::adopt(Handle key) {
    // The public half is made anew, so that no copy of it keeps the private number alive.
    const auto encoded = TRY(public_der(key.get()));
    auto public_key = TRY(PublicKey::from_der(encoded));
    return PrivateKey(std::move(key), std::move(public_key));
}

Result<PrivateKey> PrivateKey::generate(Curve curve) {
    Handle key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", facts(curve).group));
    if (!key) return openssl::failure(ErrorCode::CryptoFailed, "the key cannot be made");
    return adopt(std::move(key));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
    const auto bio = TRY(openssl::reading(as_byte_view(pem)));
    Handle key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, nullptr));
    if (!key) return openssl::failure(ErrorCode::KeyInvalid, "not an unencrypted PEM private key");
    return adopt_foreign(std::move(key));
}

Result<PrivateKey> PrivateKey::from_der(ByteView der) {
    const uint8_t* at = der.data();
    Handle key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(der.size())));
    if (!key) return openssl::failure(ErrorCode::KeyInvalid, "not a DER private key");
    if (at != der.data() + der.size()) return fail(ErrorCode::KeyInvalid, "bytes behind the private key");
    return adopt_foreign(std::move(key));
}

Result<SecretBytes> PrivateKey::to_pem() const {
    const auto bio = TRY(openssl::writing());
    if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the private key cannot be encoded");
    return SecretBytes(to_bytes(openssl::written(bio)));
}

Result<SecretBytes> PrivateKey::to_der() const {
    const auto bio = TRY(openssl::writing());
    if (i2d_PKCS8PrivateKey_bio(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the private key cannot be encoded");
    return SecretBytes(to_bytes(openssl::written(bio)));
}

Result<Bytes> PrivateKey::sign(ByteView message) const {
    const openssl::DigestContext context(EVP_MD_CTX_new());
    size_t size = 0;
    if (!context ||
        EVP_DigestSignInit(context.get(), nullptr, openssl::method(digest_of(curve())), nullptr,
                           key_.get()) != 1 ||
        EVP_DigestSign(context.get(), nullptr, &size, message.data(), message.size()) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the signature cannot be started");
    Bytes der(size);
    if (EVP_DigestSign(context.get(), der.data(), &size, message.data(), message.size()) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the signature cannot be made");
    der.resize(size);
    return raw_from_der(der, coordinate_size(curve()));
}

}  // namespace alcove::crypto

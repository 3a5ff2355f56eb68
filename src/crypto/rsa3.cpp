// SPDX-License-Identifier: Apache-2.0
#include "crypto/rsa3.hpp"

#include <algorithm>
#include <array>

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "crypto/openssl_handles.hpp"

namespace alcove::crypto {

namespace {

using openssl::Number;
using Scratch = openssl::Owned<BN_CTX, BN_CTX_free>;

constexpr int kBits = 3072;
constexpr unsigned long kExponent = 3;

// RFC 8017, 9.2, note 1: DigestInfo of a SHA-256 digest, up to the digest.
constexpr std::array<uint8_t, 19> kDigestInfo{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                              0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};

Number number_of(const Rsa3072Number& bytes) {
    return Number(BN_lebin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
}

bool bytes_of(const Number& number, Rsa3072Number& into) {
    return BN_bn2lebinpad(number.get(), into.data(), static_cast<int>(into.size())) >= 0;
}

// a*b - q*n, or nothing when it is not in [0, n).
Number remainder(const Number& a, const Number& b, const Number& q, const Number& n, BN_CTX* scratch) {
    Number product(BN_new());
    Number left(BN_new());
    if (!product || !left || BN_mul(product.get(), a.get(), b.get(), scratch) != 1 ||
        BN_mul(left.get(), q.get(), n.get(), scratch) != 1 ||
        BN_sub(left.get(), product.get(), left.get()) != 1)
        return {};
    if (BN_is_negative(left.get()) == 1 || BN_cmp(left.get(), n.get()) >= 0) return {};
    return left;
}

int refuse_passphrase(char*, int, int, void*) {
    return -1;
}

}  // namespace

Rsa3072Number pkcs1_encoded(const Sha256Value& digest) {
    Rsa3072Number encoded;
    encoded.fill(0xff);
    encoded[0] = 0;
    encoded[1] = 1;
    const size_t tail = encoded.size() - kDigestInfo.size() - digest.size();
    encoded[tail - 1] = 0;
    std::copy(kDigestInfo.begin(), kDigestInfo.end(), encoded.begin() + static_cast<ptrdiff_t>(tail));
    std::copy(digest.begin(), digest.end(), encoded.end() - static_cast<ptrdiff_t>(digest.size()));
    return encoded;
}

bool verify_rsa3(const Rsa3072Number& modulus, const Rsa3Signature& signature, const Sha256Value& digest) {
    const Scratch scratch(BN_CTX_new());
    const Number n = number_of(modulus);
    const Number s = number_of(signature.signature);
    const Number q1 = number_of(signature.q1);
    const Number q2 = number_of(signature.q2);
    if (!scratch || !n || !s || !q1 || !q2 || BN_cmp(s.get(), n.get()) >= 0) return false;
    const Number square = remainder(s, s, q1, n, scratch.get());
    if (!square) return false;
    const Number cube = remainder(square, s, q2, n, scratch.get());
    const auto encoded = pkcs1_encoded(digest);
    const Number expected(BN_bin2bn(encoded.data(), static_cast<int>(encoded.size()), nullptr));
    return cube && expected && BN_cmp(cube.get(), expected.get()) == 0;
}

void Rsa3PrivateKey::Free::operator()(evp_pkey_st* key) const {
    EVP_PKEY_free(key);
}

Result<Rsa3PrivateKey> Rsa3PrivateKey::adopt(Handle key) {
    BIGNUM* raw_modulus = nullptr;
    BIGNUM* raw_exponent = nullptr;
    if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA ||
        EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_RSA_N, &raw_modulus) != 1)
        return openssl::failure(ErrorCode::KeyInvalid, "not an RSA key");
    const Number modulus(raw_modulus);
    if (EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_RSA_E, &raw_exponent) != 1)
        return openssl::failure(ErrorCode::KeyInvalid, "not an RSA key");
    const Number exponent(raw_exponent);
    if (BN_num_bits(modulus.get()) != kBits || BN_is_word(exponent.get(), kExponent) != 1)
        return fail(ErrorCode::KeyInvalid, "an enclave signing key is RSA with 3072 bits and exponent 3");
    Rsa3072Number bytes{};
    if (!bytes_of(modulus, bytes))
        return openssl::failure(ErrorCode::CryptoFailed, "the modulus cannot be written");
    return Rsa3PrivateKey(std::move(key), bytes);
}

Result<Rsa3PrivateKey> Rsa3PrivateKey::generate() {
    const openssl::KeyContext context(EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, nullptr));
    const Number exponent(BN_new());
    EVP_PKEY* raw = nullptr;
    if (!context || !exponent || BN_set_word(exponent.get(), kExponent) != 1 ||
        EVP_PKEY_keygen_init(context.get()) != 1 ||
        EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), kBits) != 1 ||
        EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context.get(), exponent.get()) != 1 ||
        EVP_PKEY_generate(context.get(), &raw) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the key cannot be made");
    return adopt(Handle(raw));
}

Result<Rsa3PrivateKey> Rsa3PrivateKey::from_pem(std::string_view pem) {
    const auto bio = TRY(openssl::reading(as_byte_view(pem)));
    Handle key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, nullptr));
    if (!key) return openssl::failure(ErrorCode::KeyInvalid, "not an unencrypted PEM private key");
    return adopt(std::move(key));
}

Result<SecretBytes> Rsa3PrivateKey::to_pem() const {
    const auto bio = TRY(openssl::writing());
    if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
        return openssl::failure(ErrorCode::CryptoFailed, "the private key cannot be encoded");
    return SecretBytes(to_bytes(openssl::written(bio)));
}

Result<Rsa3Signature> Rsa3PrivateKey::sign(const Sha256Value& digest) const {
    const openssl::KeyContext context(EVP_PKEY_CTX_new(key_.get(), nullptr));
    Rsa3072Number raw{};  // big-endian
    size_t size = raw.size();
    if (!context || EVP_PKEY_sign_init(context.get()) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) != 1 ||
        EVP_PKEY_CTX_set_signature_md(context.get(), EVP_sha256()) != 1 ||
        EVP_PKEY_sign(context.get(), raw.data(), &size, digest.data(), digest.size()) != 1 ||
        size != raw.size())
        return openssl::failure(ErrorCode::CryptoFailed, "the signature cannot be made");
    const Scratch scratch(BN_CTX_new());
    const Number n = number_of(modulus_);
    const Number s(BN_bin2bn(raw.data(), static_cast<int>(raw.size()), nullptr));
    const Number product(BN_new());
    const Number q1(BN_new());
    const Number q2(BN_new());
    const Number rest(BN_new());
    Rsa3Signature signature{};
    if (!scratch || !n || !s || !product || !q1 || !q2 || !rest ||
        BN_sqr(product.get(), s.get(), scratch.get()) != 1 ||
        BN_div(q1.get(), rest.get(), product.get(), n.get(), scratch.get()) != 1 ||
        BN_mul(product.get(), rest.get(), s.get(), scratch.get()) != 1 ||
        BN_div(q2.get(), nullptr, product.get(), n.get(), scratch.get()) != 1 ||
        !bytes_of(s, signature.signature) || !bytes_of(q1, signature.q1) || !bytes_of(q2, signature.q2))
        return openssl::failure(ErrorCode::CryptoFailed, "the quotients cannot be computed");
    return signature;
}

}  // namespace alcove::crypto

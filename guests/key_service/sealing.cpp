// SPDX-License-Identifier: Apache-2.0
#include "key_service/sealing.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

namespace alcove::key_service {

namespace {

constexpr std::string_view kInfoToService = "alcove key service v1";
constexpr std::string_view kInfoToClient = "alcove key service v1 answer";
constexpr std::string_view kCurve = "secp384r1";

template <auto FreeFunction>
struct FreeBy {
    template <typename T>
    void operator()(T* object) const {
        FreeFunction(object);
    }
};
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, FreeBy<EVP_PKEY_CTX_free>>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, FreeBy<EVP_CIPHER_CTX_free>>;
using Kdf = std::unique_ptr<EVP_KDF, FreeBy<EVP_KDF_free>>;
using KdfContext = std::unique_ptr<EVP_KDF_CTX, FreeBy<EVP_KDF_CTX_free>>;

// OpenSSL's own reasons are about its insides; which step it was says more.
Failure crypto_failed(const char* step) {
    return fail(ErrorCode::CryptoFailed, step);
}

Failure invalid_key(const char* why) {
    return fail(ErrorCode::KeyInvalid, why);
}

// Bytes that are overwritten on every way out.
struct Forgotten {
    Bytes bytes;
    ~Forgotten() { forget(bytes); }
};

Result<Bytes> salt_of(ByteView client_public_key, ByteView service_public_key) {
    Bytes both = to_bytes(client_public_key);
    both.insert(both.end(), service_public_key.begin(), service_public_key.end());
    Bytes digest(48);
    if (EVP_Digest(both.data(), both.size(), digest.data(), nullptr, EVP_sha384(), nullptr) != 1)
        return crypto_failed("hashing the public keys");
    return digest;
}

Result<SecretKey> derive(ByteView shared, ByteView salt, std::string_view info) {
    const Kdf kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
    const KdfContext context(kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
    if (!context) return crypto_failed("preparing HKDF");
    std::string digest = "SHA384";
    // The parameters are read only, but their type does not say so.
    const auto writable = [](auto* data) { return const_cast<void*>(static_cast<const void*>(data)); };
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, writable(shared.data()), shared.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, writable(salt.data()), salt.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, writable(info.data()), info.size()),
        OSSL_PARAM_construct_end(),
    };
    SecretKey key;
    if (EVP_KDF_derive(context.get(), key.bytes().data(), key.bytes().size(), parameters) != 1)
        return crypto_failed("deriving a key");
    return key;
}

Result<SessionKeys> derive_session(ByteView shared, ByteView client_public_key, ByteView service_public_key) {
    const Bytes salt = TRY(salt_of(client_public_key, service_public_key));
    SecretKey to_service = TRY(derive(shared, salt, kInfoToService));
    SecretKey to_client = TRY(derive(shared, salt, kInfoToClient));
    return SessionKeys{std::move(to_service), std::move(to_client)};
}

Result<Bytes> encode_public_key(EVP_PKEY* key) {
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key, &der);
    if (size <= 0) return crypto_failed("encoding a public key");
    Bytes bytes(der, der + size);
    OPENSSL_free(der);
    return bytes;
}

bool is_p384(EVP_PKEY* key) {
    char name[32] = {};
    size_t length = 0;
    return EVP_PKEY_is_a(key, "EC") == 1 && EVP_PKEY_get_group_name(key, name, sizeof name, &length) == 1 &&
           name == kCurve;
}

}  // namespace

SecretKey::SecretKey(SecretKey&& other) noexcept : bytes_(other.bytes_) {
    OPENSSL_cleanse(other.bytes_.data(), other.bytes_.size());
}

SecretKey::~SecretKey() {
    OPENSSL_cleanse(bytes_.data(), bytes_.size());
}

void KeyPair::Free::operator()(evp_pkey_st* key) const {
    EVP_PKEY_free(key);
}

Result<KeyPair> KeyPair::from_key(Key key) {
    if (!key || !is_p384(key.get())) return invalid_key("this is no P-384 key");
    Bytes public_key = TRY(encode_public_key(key.get()));
    return KeyPair(std::move(key), std::move(public_key));
}

Result<KeyPair> KeyPair::generate() {
    return from_key(Key(EVP_EC_gen("P-384")));
}

Result<KeyPair> KeyPair::from_pkcs8(ByteView der) {
    const unsigned char* position = der.data();
    return from_key(Key(d2i_AutoPrivateKey(nullptr, &position, static_cast<long>(der.size()))));
}

// Both sides hash the key's bytes, so a key may be written in one way only: named curve, uncompressed point.
Result<KeyPair::Key> KeyPair::parse_public_key(ByteView der) {
    if (der.size() > kPublicKeyLimit) return invalid_key("the public key is too long");
    const unsigned char* position = der.data();
    Key key(d2i_PUBKEY(nullptr, &position, static_cast<long>(der.size())));
    if (!key || position != der.data() + der.size())
        return invalid_key("this is no SubjectPublicKeyInfo in DER");
    if (!is_p384(key.get())) return invalid_key("the public key is not on P-384");
    const KeyContext context(EVP_PKEY_CTX_new(key.get(), nullptr));
    if (!context || EVP_PKEY_public_check(context.get()) != 1)
        return invalid_key("the public key is no point of the curve");
    // A key that came compressed would be written compressed again.
    if (EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                       OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) != 1)
        return crypto_failed("preparing a public key");
    const Bytes canonical = TRY(encode_public_key(key.get()));
    if (!std::equal(der.begin(), der.end(), canonical.begin(), canonical.end()))
        return invalid_key("the public key is not in its canonical form");
    return key;
}

Result<Bytes> KeyPair::shared_secret(ByteView other_public_key) const {
    const Key other = TRY(parse_public_key(other_public_key));
    const KeyContext context(EVP_PKEY_CTX_new(key_.get(), nullptr));
    size_t size = 0;
    if (!context || EVP_PKEY_derive_init(context.get()) != 1 ||
        EVP_PKEY_derive_set_peer(context.get(), other.get()) != 1 ||
        EVP_PKEY_derive(context.get(), nullptr, &size) != 1)
        return crypto_failed("preparing the key agreement");
    Bytes secret(size);
    if (EVP_PKEY_derive(context.get(), secret.data(), &size) != 1) return crypto_failed("agreeing on a key");
    secret.resize(size);
    return secret;
}

Result<SessionKeys> KeyPair::agree_as_client(ByteView service_public_key) const {
    Bytes shared = TRY(shared_secret(service_public_key));
    const Forgotten secret{std::move(shared)};
    return derive_session(secret.bytes, public_key_, service_public_key);
}

Result<SessionKeys> KeyPair::agree_as_service(ByteView client_public_key) const {
    Bytes shared = TRY(shared_secret(client_public_key));
    const Forgotten secret{std::move(shared)};
    return derive_session(secret.bytes, client_public_key, public_key_);
}

Result<Sealed> seal(const SecretKey& key, ByteView text) {
    if (text.size() > kSecretLimit)
        return fail(ErrorCode::LimitExceeded,
                    "a secret has at most " + std::to_string(kSecretLimit) + " bytes");
    Sealed sealed;
    if (RAND_bytes(sealed.iv.data(), static_cast<int>(sealed.iv.size())) != 1)
        return crypto_failed("random bytes");
    sealed.ciphertext.resize(text.size());
    const CipherContext context(EVP_CIPHER_CTX_new());
    int length = 0;
    // GCM writes nothing at its end, only the tag; 12 bytes is its own length of IV.
    if (!context ||
        EVP_EncryptInit_ex2(context.get(), EVP_aes_256_gcm(), key.bytes().data(), sealed.iv.data(),
                            nullptr) != 1 ||
        EVP_EncryptUpdate(context.get(), sealed.ciphertext.data(), &length, text.data(),
                          static_cast<int>(text.size())) != 1 ||
        EVP_EncryptFinal_ex(context.get(), nullptr, &length) != 1 ||
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(sealed.tag.size()),
                            sealed.tag.data()) != 1)
        return crypto_failed("sealing");
    return sealed;
}

Result<Bytes> open(const SecretKey& key, const Sealed& sealed) {
    Bytes text(sealed.ciphertext.size());
    auto tag = sealed.tag;
    const CipherContext context(EVP_CIPHER_CTX_new());
    int length = 0;
    if (!context ||
        EVP_DecryptInit_ex2(context.get(), EVP_aes_256_gcm(), key.bytes().data(), sealed.iv.data(),
                            nullptr) != 1 ||
        EVP_DecryptUpdate(context.get(), text.data(), &length, sealed.ciphertext.data(),
                          static_cast<int>(sealed.ciphertext.size())) != 1 ||
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag.size()), tag.data()) !=
            1 ||
        EVP_DecryptFinal_ex(context.get(), nullptr, &length) != 1) {
        forget(text);
        return crypto_failed("the text was sealed with another key, or changed");
    }
    return text;
}

Result<std::array<uint8_t, 32>> sha256(ByteView bytes) {
    std::array<uint8_t, 32> digest{};
    if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1)
        return crypto_failed("SHA-256");
    return digest;
}

Result<Bytes> random_bytes(size_t count) {
    Bytes bytes(count);
    if (RAND_bytes(bytes.data(), static_cast<int>(count)) != 1) return crypto_failed("random bytes");
    return bytes;
}

void forget(Bytes& bytes) {
    OPENSSL_cleanse(bytes.data(), bytes.size());
}

}  // namespace alcove::key_service

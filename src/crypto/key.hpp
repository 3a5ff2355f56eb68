// SPDX-License-Identifier: Apache-2.0
//
// Elliptic-curve keys for ECDSA on the three NIST curves, and nothing else: images, certificates and
// attestation documents use no other kind. Each curve goes with one digest, as COSE pairs them (RFC 9053,
// 2.1): P-256 with SHA-256, P-384 with SHA-384, P-521 with SHA-512. Signatures are r || s, big-endian, each
// as long as the curve's field.
//
// Errors: ErrorCode::KeyInvalid for what is not such a key, ErrorCode::CryptoFailed when the library fails.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "crypto/digest.hpp"
#include "crypto/secret.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

struct evp_pkey_st;

namespace alcove::crypto {

enum class Curve { P256, P384, P521 };

size_t coordinate_size(Curve curve);  // bytes of r, of s and of a coordinate: 32, 48, 66
Digest::Algorithm digest_of(Curve curve);
std::string_view curve_name(Curve curve);  // "P-384"

// A value; copies share the library's object, which nobody changes.
class PublicKey {
  public:
    // SubjectPublicKeyInfo. Curves given by parameters rather than by name are refused.
    static Result<PublicKey> from_pem(std::string_view pem);
    static Result<PublicKey> from_der(ByteView der);  // the whole of `der`

    Result<std::string> to_pem() const;
    Result<Bytes> to_der() const;

    Curve curve() const { return curve_; }

    // Whether `signature` (r || s) is this key's over `message`.
    bool verify(ByteView message, ByteView signature) const;

    bool operator==(const PublicKey& other) const;

    // For this folder.
    static Result<PublicKey> adopt(std::shared_ptr<evp_pkey_st> key);
    evp_pkey_st* handle() const { return key_.get(); }

  private:
    PublicKey(std::shared_ptr<evp_pkey_st> key, Curve curve) : key_(std::move(key)), curve_(curve) {}

    std::shared_ptr<evp_pkey_st> key_;
    Curve curve_;
};

// Moves, never copies. The library overwrites the private number when the object goes.
class PrivateKey {
  public:
    static Result<PrivateKey> generate(Curve curve);
    // PKCS #8 or SEC 1, unencrypted; the private and the public half are checked against one another.
    static Result<PrivateKey> from_pem(std::string_view pem);
    static Result<PrivateKey> from_der(ByteView der);

    // PKCS #8.
    Result<SecretBytes> to_pem() const;
    Result<SecretBytes> to_der() const;

    Curve curve() const { return public_key_.curve(); }
    const PublicKey& public_key() const { return public_key_; }

    Result<Bytes> sign(ByteView message) const;  // r || s

    evp_pkey_st* handle() const { return key_.get(); }  // for this folder

  private:
    struct Free {
        void operator()(evp_pkey_st* key) const;
    };
    using Handle = std::unique_ptr<evp_pkey_st, Free>;

    static Result<PrivateKey> adopt_foreign(Handle key);  // checked: it comes from outside
    static Result<PrivateKey> adopt(Handle key);
    PrivateKey(Handle key, PublicKey public_key) : key_(std::move(key)), public_key_(std::move(public_key)) {}

    Handle key_;
    PublicKey public_key_;
};

}  // namespace alcove::crypto

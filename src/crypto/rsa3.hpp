// SPDX-License-Identifier: Apache-2.0
//
// RSA with 3072 bits and exponent 3, as SGX signs enclaves: PKCS #1 v1.5 over SHA-256, and beside the
// signature two quotients that let a processor check it without dividing. Numbers are little-endian.
//
// Sources: RFC 8017, 8.2; SDM vol. 3D, "EINIT" (the check by quotients) and "Enclave Signature Structure".
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "crypto/digest.hpp"
#include "crypto/secret.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

struct evp_pkey_st;

namespace alcove::crypto {

using Rsa3072Number = std::array<uint8_t, 384>;

struct Rsa3Signature {
    Rsa3072Number signature;  // s
    Rsa3072Number q1;         // floor(s^2 / n)
    Rsa3072Number q2;         // floor((s^3 - q1 s n) / n)
};

// The encoded message that this digest has in a signature of this size (RFC 8017, 9.2), most significant byte
// first, as the RFC writes it.
Rsa3072Number pkcs1_encoded(const Sha256Value& digest);

// Whether it is the signature of a message with this digest, and both quotients are right. The modulus may be
// any number: whoever made it can verify with it, and that is all.
bool verify_rsa3(const Rsa3072Number& modulus, const Rsa3Signature& signature, const Sha256Value& digest);

// Moves, never copies.
class Rsa3PrivateKey {
  public:
    static Result<Rsa3PrivateKey> generate();
    // Unencrypted; ErrorCode::KeyInvalid unless RSA, 3072 bits, exponent 3.
    static Result<Rsa3PrivateKey> from_pem(std::string_view pem);

    Result<SecretBytes> to_pem() const;
    const Rsa3072Number& modulus() const { return modulus_; }
    Result<Rsa3Signature> sign(const Sha256Value& digest) const;

  private:
    struct Free {
        void operator()(evp_pkey_st* key) const;
    };
    using Handle = std::unique_ptr<evp_pkey_st, Free>;

    static Result<Rsa3PrivateKey> adopt(Handle key);
    Rsa3PrivateKey(Handle key, const Rsa3072Number& modulus) : key_(std::move(key)), modulus_(modulus) {}

    Handle key_;
    Rsa3072Number modulus_;
};

}  // namespace alcove::crypto

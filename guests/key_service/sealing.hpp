// SPDX-License-Identifier: Apache-2.0
//
// The cryptography of the key service: P-384 keys, and secrets sealed from one key to another. A client makes
// a fresh key for each secret, so that its private half is gone when the answer is there.
//
//   shared  = ECDH(own private key, other public key)                       48 bytes, the x coordinate
//   salt    = SHA-384(client's public key || service's public key)          both as SubjectPublicKeyInfo
//   key     = HKDF-SHA384(shared, salt, info), 32 bytes                     RFC 5869
//   sealed  = AES-256-GCM(key, random 12-byte IV, no additional data)
//
// with info "alcove key service v1" for the way to the service and "alcove key service v1 answer" for the way
// back.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "key_service/protocol.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

// OpenSSL's name for it; its headers stay in sealing.cpp.
extern "C" {
struct evp_pkey_st;
}

namespace alcove::key_service {

// 32 bytes that are overwritten when they are no longer needed.
class SecretKey {
  public:
    SecretKey() = default;
    SecretKey(const SecretKey&) = delete;
    SecretKey& operator=(const SecretKey&) = delete;
    SecretKey(SecretKey&& other) noexcept;
    SecretKey& operator=(SecretKey&&) = delete;
    ~SecretKey();

    MutableByteView bytes() { return bytes_; }
    ByteView bytes() const { return bytes_; }

  private:
    std::array<uint8_t, 32> bytes_{};
};

struct SessionKeys {
    SecretKey to_service;
    SecretKey to_client;
};

class KeyPair {
  public:
    static Result<KeyPair> generate();
    // From a private key in PKCS #8, DER; for keys that are known beforehand.
    static Result<KeyPair> from_pkcs8(ByteView der);

    const Bytes& public_key() const { return public_key_; }  // SubjectPublicKeyInfo, DER

    // ErrorCode::KeyInvalid when the other side's key is not a P-384 public key in its one canonical form.
    Result<SessionKeys> agree_as_client(ByteView service_public_key) const;
    Result<SessionKeys> agree_as_service(ByteView client_public_key) const;

  private:
    struct Free {
        void operator()(evp_pkey_st* key) const;
    };
    using Key = std::unique_ptr<evp_pkey_st, Free>;

    KeyPair(Key key, Bytes public_key) : key_(std::move(key)), public_key_(std::move(public_key)) {}
    static Result<KeyPair> from_key(Key key);
    static Result<Key> parse_public_key(ByteView der);
    Result<Bytes> shared_secret(ByteView other_public_key) const;

    Key key_;
    Bytes public_key_;
};

Result<Sealed> seal(const SecretKey& key, ByteView text);
// ErrorCode::CryptoFailed when the text was sealed with another key or changed on the way.
Result<Bytes> open(const SecretKey& key, const Sealed& sealed);

Result<std::array<uint8_t, 32>> sha256(ByteView bytes);
Result<Bytes> random_bytes(size_t count);

// Overwrites bytes that held a secret.
void forget(Bytes& bytes);

}  // namespace alcove::key_service

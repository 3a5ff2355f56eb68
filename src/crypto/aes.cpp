// SPDX-License-Identifier: Apache-2.0
#include "crypto/aes.hpp"

#include <cstring>
#include <limits>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "crypto/openssl_handles.hpp"
#include "crypto/secret.hpp"
#include "support/check.hpp"
#include "support/endian.hpp"

namespace alcove::crypto {

namespace {

using Mac = openssl::Owned<EVP_MAC, EVP_MAC_free>;
using MacContext = openssl::Owned<EVP_MAC_CTX, EVP_MAC_CTX_free>;
using CipherContext = openssl::Owned<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;

// Fetched once: looking an algorithm up costs more than using it.
EVP_MAC* cmac() {
    static const Mac mac(EVP_MAC_fetch(nullptr, OSSL_MAC_NAME_CMAC, nullptr));
    ALCOVE_CHECK(mac != nullptr, "a library with CMAC");
    return mac.get();
}

int int_size(ByteView bytes) {
    ALCOVE_CHECK(bytes.size() <= static_cast<size_t>(std::numeric_limits<int>::max()), "small messages");
    return static_cast<int>(bytes.size());
}

}  // namespace

AesTag aes_cmac(const AesKey& key, std::initializer_list<ByteView> parts) {
    const MacContext context(EVP_MAC_CTX_new(cmac()));
    char cipher[] = "AES-128-CBC";
    const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
                                     OSSL_PARAM_construct_end()};
    bool done = context != nullptr && EVP_MAC_init(context.get(), key.data(), key.size(), parameters) == 1;
    for (const auto& part : parts)
        done = done && EVP_MAC_update(context.get(), part.data(), part.size()) == 1;
    AesTag tag{};
    size_t size = 0;
    done = done && EVP_MAC_final(context.get(), tag.data(), &size, tag.size()) == 1 && size == tag.size();
    ALCOVE_CHECK(done, "a library that computes CMAC");
    return tag;
}

GcmNonce gcm_nonce(uint64_t counter) {
    const Le64 bytes = counter;
    GcmNonce nonce{};
    std::memcpy(nonce.data() + 4, &bytes, sizeof bytes);
    return nonce;
}

AesTag aes_gcm_seal(const AesKey& key, const GcmNonce& nonce, ByteView associated, ByteView plain,
                    MutableByteView into) {
    ALCOVE_CHECK(plain.size() == into.size(), "as much room as text");
    const CipherContext context(EVP_CIPHER_CTX_new());
    int size = 0;
    AesTag tag{};
    const bool done =
        context != nullptr &&
        EVP_EncryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, key.data(), nonce.data()) == 1 &&
        EVP_EncryptUpdate(context.get(), nullptr, &size, associated.data(), int_size(associated)) == 1 &&
        EVP_EncryptUpdate(context.get(), into.data(), &size, plain.data(), int_size(plain)) == 1 &&
        EVP_EncryptFinal_ex(context.get(), into.data() + size, &size) == 1 &&
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag.size()), tag.data()) ==
            1;
    ALCOVE_CHECK(done, "a library that encrypts");
    return tag;
}

bool aes_gcm_open(const AesKey& key, const GcmNonce& nonce, ByteView associated, ByteView sealed,
                  const AesTag& tag, MutableByteView into) {
    ALCOVE_CHECK(sealed.size() == into.size(), "as much room as text");
    const CipherContext context(EVP_CIPHER_CTX_new());
    int size = 0;
    AesTag expected = tag;
    const bool started =
        context != nullptr &&
        EVP_DecryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, key.data(), nonce.data()) == 1 &&
        EVP_DecryptUpdate(context.get(), nullptr, &size, associated.data(), int_size(associated)) == 1 &&
        EVP_DecryptUpdate(context.get(), into.data(), &size, sealed.data(), int_size(sealed)) == 1 &&
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(expected.size()),
                            expected.data()) == 1;
    ALCOVE_CHECK(started, "a library that decrypts");
    if (EVP_DecryptFinal_ex(context.get(), into.data() + size, &size) == 1) return true;
    cleanse(into);
    return false;
}

bool equal_in_constant_time(ByteView a, ByteView b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace alcove::crypto

// SPDX-License-Identifier: Apache-2.0
#include "sgx/page_sealer.hpp"

#include "crypto/secret.hpp"

namespace alcove::sgx {

PageSealer::~PageSealer() {
    crypto::cleanse(key_);
}

PageSealer::Sealed PageSealer::seal(const SealedHeader& header, const PageBytes& plain, PageBytes& into) {
    const uint64_t version = last_version_.fetch_add(1, std::memory_order_relaxed) + 1;
    return {.version = version,
            .mac = crypto::aes_gcm_seal(key_, crypto::gcm_nonce(version), object_bytes(header), plain, into)};
}

bool PageSealer::open(const SealedHeader& header, uint64_t version, const crypto::AesTag& mac,
                      const PageBytes& sealed, PageBytes& into) const {
    return crypto::aes_gcm_open(key_, crypto::gcm_nonce(version), object_bytes(header), sealed, mac, into);
}

}  // namespace alcove::sgx

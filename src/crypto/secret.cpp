// SPDX-License-Identifier: Apache-2.0
#include "crypto/secret.hpp"

#include <openssl/crypto.h>

namespace alcove::crypto {

void cleanse(MutableByteView bytes) {
    if (!bytes.empty()) OPENSSL_cleanse(bytes.data(), bytes.size());
}

}  // namespace alcove::crypto

// SPDX-License-Identifier: Apache-2.0
#include "crypto/random.hpp"

#include <algorithm>

#include <openssl/rand.h>

#include "crypto/openssl_handles.hpp"

namespace alcove::crypto {

Result<void> fill_random(MutableByteView into) {
    constexpr size_t kChunk = 1U << 20;  // the library counts in int
    while (!into.empty()) {
        const size_t size = std::min(into.size(), kChunk);
        if (RAND_bytes(into.data(), static_cast<int>(size)) != 1)
            return openssl::failure(ErrorCode::CryptoFailed, "no random bytes");
        into = into.subspan(size);
    }
    return {};
}

}  // namespace alcove::crypto

// SPDX-License-Identifier: Apache-2.0
#include "crypto/random.hpp"

#include <cerrno>

#include <sys/random.h>

namespace alcove::crypto {

Result<void> fill_random(MutableByteView into) {
    while (!into.empty()) {
        const ssize_t count = ::getrandom(into.data(), into.size(), 0);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno(errno, "getrandom", ErrorCode::CryptoFailed);
        into = into.subspan(static_cast<size_t>(count));
    }
    return {};
}

}  // namespace alcove::crypto

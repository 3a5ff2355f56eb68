// SPDX-License-Identifier: Apache-2.0
#include "crypto/openssl_handles.hpp"

#include <limits>

#include <openssl/err.h>

namespace alcove::crypto::openssl {

const EVP_MD* method(Digest::Algorithm algorithm) {
    switch (algorithm) {
        case Digest::Algorithm::SHA256:
            return EVP_sha256();
        case Digest::Algorithm::SHA384:
            return EVP_sha384();
        case Digest::Algorithm::SHA512:
            return EVP_sha512();
    }
    return nullptr;
}

Failure failure(ErrorCode code, const std::string& what) {
    const unsigned long number = ERR_peek_error();
    const char* reason = ERR_reason_error_string(number);
    ERR_clear_error();
    if (number == 0 || reason == nullptr) return fail(code, what);
    return fail(code, what + ": " + reason);
}

Result<Bio> reading(ByteView data) {
    if (data.size() > static_cast<size_t>(std::numeric_limits<int>::max()))
        return fail(ErrorCode::LimitExceeded, "too much data for one key or certificate");
    Bio bio(BIO_new_mem_buf(data.data(), static_cast<int>(data.size())));
    if (!bio) return failure(ErrorCode::CryptoFailed, "a buffer cannot be made");
    return bio;
}

Result<Bio> writing() {
    Bio bio(BIO_new(BIO_s_mem()));
    if (!bio) return failure(ErrorCode::CryptoFailed, "a buffer cannot be made");
    return bio;
}

ByteView written(const Bio& bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    if (data == nullptr || size <= 0) return {};
    return as_byte_view({data, static_cast<size_t>(size)});
}

}  // namespace alcove::crypto::openssl

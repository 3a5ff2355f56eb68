// SPDX-License-Identifier: Apache-2.0
#include "probe/digest.hpp"

#include <openssl/evp.h>

#include "support/check.hpp"

namespace alcove::probe {

void Digest::Free::operator()(evp_md_ctx_st* context) const {
    EVP_MD_CTX_free(context);
}

Digest::Digest(Kind kind) : context_(EVP_MD_CTX_new()) {
    ALCOVE_CHECK(context_ != nullptr, "memory for a digest");
    const EVP_MD* algorithm = kind == Kind::Sha256 ? EVP_sha256() : EVP_sha384();
    ALCOVE_CHECK(EVP_DigestInit_ex(context_.get(), algorithm, nullptr) == 1, "a digest begins");
}

void Digest::add(ByteView bytes) {
    ALCOVE_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1, "a digest goes on");
}

Bytes Digest::finish() {
    Bytes digest(EVP_MAX_MD_SIZE);
    unsigned length = 0;
    ALCOVE_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &length) == 1, "a digest ends");
    digest.resize(length);
    return digest;
}

}  // namespace alcove::probe

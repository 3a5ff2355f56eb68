// SPDX-License-Identifier: Apache-2.0
#include "crypto/digest.hpp"

#include <algorithm>

#include "crypto/openssl_handles.hpp"

namespace alcove::crypto {

namespace {

// Only for digests that nobody else could have finished: create() and finish() then fail on a broken
// library alone.
template <size_t Size>
std::array<uint8_t, Size> one_shot(Digest::Algorithm algorithm, std::initializer_list<ByteView> parts) {
    auto digest = Digest::create(algorithm);
    ALCOVE_CHECK(digest.has_value(), "the crypto library has SHA-2");
    for (const auto part : parts)
        digest->update(part);
    const auto bytes = digest->finish();
    ALCOVE_CHECK(bytes.has_value() && bytes->size() == Size, "a digest that was just made can be finished");
    std::array<uint8_t, Size> value{};
    std::copy(bytes->begin(), bytes->end(), value.begin());
    return value;
}

}  // namespace

void Digest::Free::operator()(evp_md_ctx_st* context) const {
    EVP_MD_CTX_free(context);
}

size_t Digest::size_of(Algorithm algorithm) {
    return static_cast<size_t>(EVP_MD_get_size(openssl::method(algorithm)));
}

Result<Digest> Digest::create(Algorithm algorithm) {
    Context context(EVP_MD_CTX_new());
    if (!context || EVP_DigestInit_ex(context.get(), openssl::method(algorithm), nullptr) != 1)
        return fail(ErrorCode::CryptoFailed, "the digest cannot be started");
    return Digest(algorithm, std::move(context));
}

void Digest::update(ByteView data) {
    ALCOVE_CHECK(context_ != nullptr, "update() before finish()");
    ALCOVE_CHECK(EVP_DigestUpdate(context_.get(), data.data(), data.size()) == 1,
                 "a started digest takes data");
}

Digest Digest::copy() const {
    ALCOVE_CHECK(context_ != nullptr, "copy() before finish()");
    Context context(EVP_MD_CTX_new());
    ALCOVE_CHECK(context != nullptr && EVP_MD_CTX_copy_ex(context.get(), context_.get()) == 1,
                 "a started digest can be copied");
    return {algorithm_, std::move(context)};
}

Result<Bytes> Digest::finish() {
    if (!context_) return fail(ErrorCode::CryptoFailed, "the digest is finished already");
    Bytes value(size_of(algorithm_));
    unsigned size = 0;
    const bool done = EVP_DigestFinal_ex(context_.get(), value.data(), &size) == 1 && size == value.size();
    context_.reset();
    if (!done) return fail(ErrorCode::CryptoFailed, "the digest cannot be finished");
    return value;
}

Result<Sha384Value> Digest::finish_sha384() {
    ALCOVE_CHECK(algorithm_ == Algorithm::SHA384, "finish_sha384() is for SHA384");
    const auto bytes = TRY(finish());
    Sha384Value value{};
    std::copy(bytes.begin(), bytes.end(), value.begin());
    return value;
}

Sha384Value sha384(ByteView data) {
    return one_shot<48>(Digest::Algorithm::SHA384, {data});
}

Sha384Value sha384(std::initializer_list<ByteView> parts) {
    return one_shot<48>(Digest::Algorithm::SHA384, parts);
}

Sha256Value sha256(ByteView data) {
    return one_shot<32>(Digest::Algorithm::SHA256, {data});
}

}  // namespace alcove::crypto

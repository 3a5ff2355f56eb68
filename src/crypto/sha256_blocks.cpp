// SPDX-License-Identifier: Apache-2.0
//
// The library's digest objects do not give their state away; its older SHA-256 interface does, and is the
// same code underneath.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/sha256_blocks.hpp"

#include <algorithm>
#include <iterator>

#include <openssl/sha.h>

#include "support/check.hpp"

namespace alcove::crypto {

namespace {

SHA256_CTX context_of(const Sha256Blocks::State& state) {
    SHA256_CTX context;
    SHA256_Init(&context);
    std::copy(state.words.begin(), state.words.end(), std::begin(context.h));
    const uint64_t bits = state.blocks * Sha256Blocks::kBlockSize * 8;
    context.Nl = static_cast<SHA_LONG>(bits);
    context.Nh = static_cast<SHA_LONG>(bits >> 32);
    return context;
}

}  // namespace

Sha256Blocks::Sha256Blocks() : state_{} {
    SHA256_CTX context;
    SHA256_Init(&context);
    std::copy(std::begin(context.h), std::end(context.h), state_.words.begin());
}

void Sha256Blocks::update(ByteView blocks) {
    ALCOVE_CHECK(blocks.size() % kBlockSize == 0, "whole blocks");
    SHA256_CTX context = context_of(state_);
    SHA256_Update(&context, blocks.data(), blocks.size());
    std::copy(std::begin(context.h), std::end(context.h), state_.words.begin());
    state_.blocks += blocks.size() / kBlockSize;
}

Sha256Value Sha256Blocks::finish() const {
    SHA256_CTX context = context_of(state_);
    Sha256Value value{};
    SHA256_Final(value.data(), &context);
    return value;
}

}  // namespace alcove::crypto

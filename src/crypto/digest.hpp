// SPDX-License-Identifier: Apache-2.0
//
// SHA-2 digests, as a running state or in one call. The state can be copied: PCR0 and PCR1 of an image share
// a prefix, so it is hashed once and the state forked where they part.
#pragma once

#include <array>
#include <initializer_list>
#include <memory>

#include "support/bytes.hpp"
#include "support/result.hpp"

struct evp_md_ctx_st;

namespace alcove::crypto {

using Sha256Value = std::array<uint8_t, 32>;
using Sha384Value = std::array<uint8_t, 48>;

class Digest {
  public:
    enum class Algorithm { SHA256, SHA384, SHA512 };

    static size_t size_of(Algorithm algorithm);  // 32, 48 or 64

    static Result<Digest> create(Algorithm algorithm);

    void update(ByteView data);  // only before finish()
    Digest copy() const;         // goes on independently from here; only before finish()

    // Once; a second call is ErrorCode::CryptoFailed.
    Result<Bytes> finish();
    Result<Sha384Value> finish_sha384();  // of an SHA384 digest

    Algorithm algorithm() const { return algorithm_; }

  private:
    struct Free {
        void operator()(evp_md_ctx_st* context) const;
    };
    using Context = std::unique_ptr<evp_md_ctx_st, Free>;

    Digest(Algorithm algorithm, Context context) : algorithm_(algorithm), context_(std::move(context)) {}

    Algorithm algorithm_;
    Context context_;  // null after finish()
};

// In one call, over the parts one behind the other. Cannot fail: a library without SHA-2 ends the process.
Sha384Value sha384(ByteView data);
Sha384Value sha384(std::initializer_list<ByteView> parts);
Sha256Value sha256(ByteView data);

}  // namespace alcove::crypto

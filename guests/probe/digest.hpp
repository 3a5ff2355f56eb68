// SPDX-License-Identifier: Apache-2.0
//
// SHA-2, through the crypto library. A digest of valid arguments fails only when memory is out, which ends
// the program; so there are no errors here.
#pragma once

#include <memory>

#include "support/bytes.hpp"

// OpenSSL's name for it; its headers stay in digest.cpp.
extern "C" {
struct evp_md_ctx_st;
}

namespace alcove::probe {

class Digest {
  public:
    enum class Kind { Sha256, Sha384 };
    explicit Digest(Kind kind);

    void add(ByteView bytes);
    Bytes finish();  // once

  private:
    struct Free {
        void operator()(evp_md_ctx_st* context) const;
    };
    std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace alcove::probe

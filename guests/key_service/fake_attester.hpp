// SPDX-License-Identifier: Apache-2.0
//
// Stands in for the security module in tests: its documents are text, show what they were asked to carry, and
// are signed by nobody.
#pragma once

#include <string>

#include "key_service/attester.hpp"
#include "key_service/hex.hpp"

namespace alcove::key_service {

class FakeAttester final : public Attester {
  public:
    Result<Bytes> attest(ByteView public_key, ByteView nonce) override {
        if (broken_) return fail(ErrorCode::Unsupported, "the security module says InternalError");
        return to_bytes(as_byte_view(text_for(public_key, nonce)));
    }

    void break_it() { broken_ = true; }

    static std::string text_for(ByteView public_key, ByteView nonce) {
        return "key " + to_hex(public_key) + " nonce " + to_hex(nonce);
    }

  private:
    bool broken_ = false;
};

}  // namespace alcove::key_service

// SPDX-License-Identifier: Apache-2.0
//
// Platform configuration registers, as far as an image or a host decides them before an enclave runs. H is
// SHA-384, Z is 48 zero bytes: a register starts as Z and is extended once. PCR0, 1, 2 and 8 are extended
// with a digest, so they hash twice; PCR3 and PCR4 are extended with the text itself.
#pragma once

#include <string_view>

#include "crypto/certificate.hpp"
#include "crypto/digest.hpp"
#include "support/bytes.hpp"

namespace alcove::eif {

using Pcr = crypto::Sha384Value;

inline constexpr Pcr kZeroPcr{};

// H(Z || data)
Pcr pcr_extended_with(ByteView data);

// PCR3 from an IAM role's ARN, PCR4 from an instance id. No newline behind it.
Pcr pcr_of_text(std::string_view text);

// H(Z || H(content)): what `nitro-cli pcr --input` prints for a file.
Pcr pcr_of_content(ByteView content);

// PCR8 of images signed with this certificate's key: over its DER.
Pcr pcr_of_certificate(const crypto::Certificate& certificate);

// H(Z || H(pieces)), fed piece by piece. A copy goes on by itself: PCR1 begins as PCR0 does.
class PcrHash {
  public:
    PcrHash();
    void update(ByteView piece) { digest_.update(piece); }
    PcrHash copy() const { return PcrHash(digest_.copy()); }
    Pcr finish() &&;

  private:
    explicit PcrHash(crypto::Digest digest) : digest_(std::move(digest)) {}
    crypto::Digest digest_;
};

}  // namespace alcove::eif

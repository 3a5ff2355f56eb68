// SPDX-License-Identifier: Apache-2.0
//
// COSE_Sign1 (RFC 9052, 4.2): a payload with one ECDSA signature over it, the envelope of attestation
// documents and of image signatures. What is verified is the bytes as received, never a re-encoding.
//
// Errors of parse(): ErrorCode::CborMalformed, Truncated or LimitExceeded; the caller knows what the envelope
// was to hold and says so.
#pragma once

#include <cstdint>

#include "crypto/key.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::crypto {

// IANA's registry "COSE Algorithms".
enum class CoseAlgorithm : int64_t { ES256 = -7, ES384 = -35, ES512 = -36 };

CoseAlgorithm cose_algorithm_of(Curve curve);

enum class CoseTag { Untagged, Tagged };  // tag 18 in front or not; documents and images have none

struct CoseSign1 {
    static constexpr uint64_t kTag = 18;
    static constexpr size_t kMaxSize = size_t{64} * 1024;

    Bytes protected_header;  // encoded, as it was signed
    CoseAlgorithm algorithm;
    Bytes payload;
    Bytes signature;  // r || s

    // Tagged or not, definite or indefinite lengths, no bytes behind it. The protected header must name one
    // of our algorithms and no critical parameter; the payload must be there (not detached).
    static Result<CoseSign1> parse(ByteView encoded);

    // Whether the signature is this key's. A key of another curve than the algorithm's never verifies.
    bool verify(const PublicKey& key) const;
};

// Signs with the algorithm of the key's curve: protected {1: alg}, unprotected {}.
Result<Bytes> cose_sign1(ByteView payload, const PrivateKey& key, CoseTag tag = CoseTag::Untagged);

}  // namespace alcove::crypto

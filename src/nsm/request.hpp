// SPDX-License-Identifier: Apache-2.0
//
// What an enclave may ask its Nitro Secure Module, decoded from CBOR (nitro.md 4.2 and 4.3). Lenient where
// guests differ: fields in any order, definite and indefinite lengths, integers of any width, text where a
// byte string is meant, unknown fields ignored, the first of two equal ones used, and a missing optional
// field is null. Numbers keep their full width: what is out of range is for the PCR rules to say.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "api/attestor_messages.hpp"
#include "support/bytes.hpp"

namespace alcove::nsm {

using api::attestor::NsmStatus;

inline constexpr size_t kMaxRequestSize = api::attestor::kMaxRequest;

struct DescribePCR {
    uint64_t index;
};
struct ExtendPCR {
    uint64_t index;
    Bytes data;
};
struct LockPCR {
    uint64_t index;
};
struct LockPCRs {
    uint64_t range;
};
struct DescribeNSM {};
struct Attestation {
    std::optional<Bytes> user_data;
    std::optional<Bytes> nonce;
    std::optional<Bytes> public_key;
};
struct GetRandom {};

using Request = std::variant<DescribePCR, ExtendPCR, LockPCR, LockPCRs, DescribeNSM, Attestation, GetRandom>;

// The request, or the error to answer with: InputTooLarge over kMaxRequestSize bytes, InvalidOperation for
// what is no request.
std::variant<Request, NsmStatus> decode_request(ByteView encoded);

}  // namespace alcove::nsm

// SPDX-License-Identifier: Apache-2.0
//
// The one request to the Nitro Secure Module that this service makes, in CBOR (RFC 8949) as the module's
// interface has it: {"Attestation": {"user_data": null, "nonce": bytes, "public_key": bytes}}, answered by
// {"Attestation": {"document": bytes}} or {"Error": name}. Written by hand: it is two maps, and a static
// program has no use for a library's other half.
#pragma once

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::key_service {

Bytes encode_attestation_request(ByteView public_key, ByteView nonce);

// The document. What the module refuses is ErrorCode::Unsupported with its error's name; what is no such
// reply is ErrorCode::CborMalformed.
Result<Bytes> decode_attestation_reply(ByteView reply);

}  // namespace alcove::key_service

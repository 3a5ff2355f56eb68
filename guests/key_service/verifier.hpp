// SPDX-License-Identifier: Apache-2.0
//
// Asks somebody else whether an attestation document is good. The key client has no opinion of its own: it
// runs a verifier, such as `alcove attest verify --json`, and believes it only if it exits with 0, and only
// the public key that it prints.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::key_service {

// The command with {doc} and {nonce} replaced wherever they stand.
std::vector<std::string> fill_in(const std::vector<std::string>& command, std::string_view document_path,
                                 std::string_view nonce_hex);

// The `public_key` (hexadecimal text) of the JSON object that a verifier prints.
Result<Bytes> public_key_in(std::string_view json);

// Runs the command, with its errors on our standard error. The public key it vouches for, or
// ErrorCode::DocumentSignature when it exits with anything but 0.
Result<Bytes> verified_public_key(const std::vector<std::string>& command);

}  // namespace alcove::key_service

// SPDX-License-Identifier: Apache-2.0
//
// What became of a verification, as text and as JSON, and the readers of what a user demands. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "attestation/verifier.hpp"
#include "codec/json.hpp"
#include "support/result.hpp"

namespace alcove::cli {

// One line a check: "ok", "FAILED" or "-" (not made), its name and its detail; then what the document says.
std::string render_verification(const attestation::Verification& verification);
codec::json::Json verification_json(const attestation::Verification& verification);

// "8=00ff...": a register and its value. ErrorCode::InvalidArgument.
Result<std::pair<uint32_t, Bytes>> parse_pcr(const std::string& text);
// "2026-01-31T12:00:00Z" or seconds since 1970. ErrorCode::InvalidArgument.
Result<attestation::TimePoint> parse_time(const std::string& text);
// A public key as documents carry it: DER. PEM is decoded, anything else is taken as it is.
Result<Bytes> public_key_bytes(ByteView file);

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
//
// The launcher's part in attestation: on the VM's connection, which the broker opened, it says once what was
// measured. From then on the attestor lets nobody change it, and the connection goes to the VMM.
#pragma once

#include <atomic>

#include "api/attestor_messages.hpp"
#include "enclave/lifecycle.hpp"
#include "support/channel.hpp"

namespace alcove::enclave {

// `flags` are Measured's. Blocks, at most `timeout`, and no longer than a moment after `cancelled` was set.
// The token stays with the launcher. ErrorCode::InvalidMessage when the attestor answers something else; its
// own error when it refuses.
Result<api::attestor::ResumeToken> seal_measurements(
    const Channel& attestor, const ImageFacts& facts, uint32_t flags, const std::atomic<bool>& cancelled,
    std::chrono::milliseconds timeout = std::chrono::seconds(10));

}  // namespace alcove::enclave

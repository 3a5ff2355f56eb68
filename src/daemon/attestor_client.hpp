// SPDX-License-Identifier: Apache-2.0
//
// What alcoved asks alcove-attestor: this host's root certificate, and how it fares. Each call makes a
// connection of its own and blocks for a short while: for the threads of the HTTP server only.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "support/result.hpp"

namespace alcove::daemon {

struct RootCertificate {
    std::string pem;
    bool development = false;
};

struct AttestorStatus {
    std::array<uint8_t, 32> root_fingerprint{};  // SHA-256 of the root certificate's DER
    bool development = false;
    int64_t issuer_not_after = 0;  // seconds since 1970
    uint32_t vms = 0;
    uint64_t documents = 0;
    uint64_t rejected = 0;
    uint64_t violations = 0;
};

// ErrorCode::NotFound and the like when it does not run, ErrorCode::Timeout.
Result<RootCertificate> ask_for_root(const std::string& socket_path);
Result<AttestorStatus> ask_for_status(const std::string& socket_path);

}  // namespace alcove::daemon

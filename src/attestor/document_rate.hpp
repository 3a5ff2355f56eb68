// SPDX-License-Identifier: Apache-2.0
//
// For the benchmarks: how many documents a second the attestor gives one VM that asks for one after the
// other, over its socket, with nothing else around it. To be held against `openssl speed ecdsap384`.
#pragma once

#include <chrono>
#include <string>

#include "support/result.hpp"

namespace alcove::attestor {

struct DocumentRate {
    uint64_t documents;
    std::chrono::nanoseconds elapsed;

    double per_second() const {
        return static_cast<double>(documents) / std::chrono::duration<double>(elapsed).count();
    }
};

// Starts an attestor on a thread of its own, with keys that are nowhere stored, opens a VM, asks for
// documents with a 32-byte nonce for `duration`. `run_folder` is where the VM's state goes; it is made, and
// should be a tmpfs.
Result<DocumentRate> measure_document_rate(const std::string& run_folder, std::chrono::milliseconds duration);

}  // namespace alcove::attestor

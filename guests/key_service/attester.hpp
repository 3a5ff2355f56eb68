// SPDX-License-Identifier: Apache-2.0
//
// Whoever can say what runs here, and sign it. In an enclave that is the Nitro Secure Module
// (nsm_device.hpp); in tests it is a fake.
#pragma once

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::key_service {

class Attester {
  public:
    virtual ~Attester() = default;

    // An attestation document that carries both. Called by several threads at once.
    virtual Result<Bytes> attest(ByteView public_key, ByteView nonce) = 0;
};

}  // namespace alcove::key_service

// SPDX-License-Identifier: Apache-2.0
//
// The attester of the enclave this runs in: its Nitro Secure Module.
#pragma once

#include "key_service/attester.hpp"
#include "secure_module/secure_module.hpp"

namespace alcove::key_service {

class NsmDevice final : public Attester {
  public:
    static Result<NsmDevice> open();

    Result<Bytes> attest(ByteView public_key, ByteView nonce) override;

  private:
    explicit NsmDevice(secure_module::KernelSecureModule module) : module_(std::move(module)) {}

    secure_module::KernelSecureModule module_;
};

}  // namespace alcove::key_service

// SPDX-License-Identifier: Apache-2.0
//
// The Nitro Secure Module of the enclave this runs in, through the kernel's /dev/nsm (Linux,
// include/uapi/linux/nsm.h).
#pragma once

#include "key_service/attester.hpp"
#include "support/fd.hpp"

namespace alcove::key_service {

class NsmDevice final : public Attester {
  public:
    static Result<NsmDevice> open();

    Result<Bytes> attest(ByteView public_key, ByteView nonce) override;

  private:
    explicit NsmDevice(Fd device) : device_(std::move(device)) {}

    Fd device_;
};

}  // namespace alcove::key_service

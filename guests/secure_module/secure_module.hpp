// SPDX-License-Identifier: Apache-2.0
//
// The door to a Nitro Secure Module: bytes of a request in, bytes of the reply out. The real one is the
// kernel's /dev/nsm (Linux, include/uapi/linux/nsm.h).
#pragma once

#include <utility>

#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::secure_module {

class SecureModule {
  public:
    virtual ~SecureModule() = default;
    // An Error when there was no reply at all.
    virtual Result<Bytes> ask(ByteView request) = 0;
};

class KernelSecureModule final : public SecureModule {
  public:
    static Result<KernelSecureModule> open();
    Result<Bytes> ask(ByteView request) override;

  private:
    explicit KernelSecureModule(Fd device) : device_(std::move(device)) {}

    Fd device_;
};

}  // namespace alcove::secure_module

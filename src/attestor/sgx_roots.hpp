// SPDX-License-Identifier: Apache-2.0
//
// The secrets that SGX in software has in place of a processor's fuses (sgx/platform.hpp), all derived from
// one of this host's, which never leaves this process. Who is given which decides who can open what an
// enclave sealed: the same VM after its next start, all VMs of the host, nobody.
#pragma once

#include <string>
#include <string_view>

#include "api/sgx.hpp"
#include "crypto/aes.hpp"
#include "support/result.hpp"

namespace alcove::attestor {

class SgxRoots {
  public:
    // The host's secret is in sgx-root.key of the state folder (0600), made at the first start.
    // ErrorCode::PermissionDenied when it is open to others, KeyInvalid when it is no key.
    static Result<SgxRoots> open(const std::string& state_folder);
    explicit SgxRoots(const crypto::AesKey& secret) : secret_(secret) {}

    SgxRoots(SgxRoots&&) = default;
    SgxRoots& operator=(SgxRoots&&) = delete;
    SgxRoots(const SgxRoots&) = delete;
    SgxRoots& operator=(const SgxRoots&) = delete;
    ~SgxRoots();

    // The same owner has the same secret, always; without a name it is one that there is only once.
    Result<api::SgxRootSecret> root_of(std::string_view owner) const;

  private:
    crypto::AesKey secret_;
};

}  // namespace alcove::attestor

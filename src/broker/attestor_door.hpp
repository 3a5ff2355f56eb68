// SPDX-License-Identifier: Apache-2.0
//
// The broker's part in attestation: it says who a VM is, on a connection that is then the VM's.
#pragma once

#include "api/attestor_messages.hpp"
#include "broker/launch_plan.hpp"

namespace alcove::broker {

// Says Hello and Open at the attestor's socket; the connection that comes back is ready for Measured. Blocks
// for at most five seconds.
Result<Fd> open_at_attestor(const std::string& socket_path, const LaunchPlan& plan);

// The secret of a VM's SGX. Blocks as long.
Result<api::SgxRootSecret> ask_sgx_root(const std::string& socket_path, const LaunchPlan& plan);

}  // namespace alcove::broker

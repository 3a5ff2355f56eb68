// SPDX-License-Identifier: Apache-2.0
//
// Who does the SGX of a VM: the host's processors or software. It is decided when the VM is asked for, and
// written into its record, because its keys depend on it.
#pragma once

#include "host/sgx.hpp"
#include "sgx/configuration.hpp"

namespace alcove::daemon {

// Hardware or Software. What was asked for by name is had or is an error: ErrorCode::Unsupported, or what
// sgx::check_for_hardware() says. With `auto` it is the processors where they can do all of the
// configuration, the keys it asks for included, and have as much EPC free; how much that is for one asked for
// by name is the ledger's to say.
Result<sgx::Backend> choose_backend(const sgx::Configuration& configuration, const host::SgxHardware& host,
                                    uint64_t free_epc_bytes);

}  // namespace alcove::daemon

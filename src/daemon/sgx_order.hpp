// SPDX-License-Identifier: Apache-2.0
//
// The SGX that a VM was asked for with: whether it can be had, and what broker and VMM are told of it.
#pragma once

#include <string>

#include "api/sgx.hpp"
#include "sgx/configuration.hpp"

namespace alcove::daemon {

// Whether such a VM, with so much RAM, can be made: what its configuration says is well-formed, this release
// does it, and its sections lie over nothing. ErrorCode::MachineConfig, Unsupported.
Result<void> check_sgx(const sgx::Configuration& configuration, uint64_t memory_bytes);

// The host memory that the EPC is made of, as it is lent: all of it, or its budget. None with hardware.
uint64_t epc_memory(const sgx::Configuration& configuration);

// The processors' EPC, as it is lent. None with software.
uint64_t epc_of_hardware(const sgx::Configuration& configuration);

// Without its root secret, which alcoved never sees.
api::Sgx sgx_order(const sgx::Configuration& configuration);

// Whose that is (api::attestor::GetSgxRoot), with software. A VM's goes by its name, so that the next VM of
// this name can open what its enclaves sealed; one without a name has it for itself.
std::string sgx_root_owner(sgx::KeyRoot key_root, const std::string& vm_id, const std::string& name);

}  // namespace alcove::daemon

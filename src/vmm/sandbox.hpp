// SPDX-License-Identifier: Apache-2.0
//
// What a VMM gives up before its guest runs. From then on it can do what its open descriptors allow and
// nothing else: no file can be opened, no socket made, no program started, no process looked at. A guest
// that takes the VMM over has these descriptors: its own VM, its own memory, its own lines to the shim, to
// the attestor (an enclave) or to alcoved (a primary VM that may carve).
#pragma once

#include <cstdint>

#include "api/vm_role.hpp"
#include "support/result.hpp"

namespace alcove::vmm {

// From now on no file can be made larger than that; who tries is ended (SIGXFSZ). For good.
Result<void> limit_file_size(uint64_t bytes);

enum class SgxCalls : uint8_t { None, Software, Hardware };

// The system call filter for every thread; a call outside the list ends the process (SIGSYS). After
// everything that has to be opened was opened. A primary VM's may also read and write its disks by offset,
// and the spill file of its EPC; an enclave's may ask KVM whether its vCPUs have halted.
//
// SGX in software moves vCPUs between two views and stores their state: more of KVM's calls, all of which are
// about the VM's own vCPUs. That of the host's processors needs one of /dev/sgx_vepc: to empty it.
Result<void> enter_sandbox(api::VmRole role, SgxCalls sgx = SgxCalls::None);

}  // namespace alcove::vmm

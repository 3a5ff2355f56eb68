// SPDX-License-Identifier: Apache-2.0
//
// What a VMM gives up before its guest runs. From then on it can do what its open descriptors allow and
// nothing else: no file can be opened, no socket made, no program started, no process looked at. A guest
// that takes the VMM over has these descriptors: its own VM, its own memory, its own lines to the shim and
// the attestor.
#pragma once

#include "support/result.hpp"

namespace alcove::vmm {

// First thing in main(): no core dump, no reading of our memory by others, no new privileges.
Result<void> harden_process();

// The system call filter for this thread and all it starts; a call outside the list ends the process
// (SIGSYS). After everything that has to be opened was opened.
Result<void> enter_sandbox();

}  // namespace alcove::vmm

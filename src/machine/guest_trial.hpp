// SPDX-License-Identifier: Apache-2.0
//
// Whether this KVM can carry a VM, found out by running one: the check guest (guests/asm/check.S) uses
// paging, SSE, BMI2 and a timed loop. A /dev/kvm that opens, and runs a guest of three instructions, may
// still emulate every instruction, and give up on one that compilers use all the time or take forever.
#pragma once

#include <chrono>
#include <string>

#include "host/capabilities.hpp"
#include "support/bytes.hpp"

namespace alcove::machine {

// `check_guest` is the guest's ELF file; `patience` is for one run of it: one whose loop was slow is run
// again. Whatever keeps the guest from its end is the trial's result. Takes the process's kick signal
// (cpu::VcpuThread).
host::GuestTrial try_guest(const std::string& kvm_device, ByteView check_guest,
                           std::chrono::seconds patience);

}  // namespace alcove::machine

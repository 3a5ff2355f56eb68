// SPDX-License-Identifier: Apache-2.0
//
// The registers a vCPU has before its first instruction. The first one starts where the loader says; the
// others wait for INIT and SIPI as processors do after power-on.
#pragma once

#include "boot/loader.hpp"
#include "kvm/vcpu.hpp"
#include "support/result.hpp"

namespace alcove::cpu {

Result<void> set_entry_state(const kvm::Vcpu& vcpu, const boot::EntryState& entry);
// LINT0 as ExtINT and LINT1 as NMI, as firmware leaves them; machine check and misc-enable defaults.
Result<void> set_platform_state(const kvm::Vcpu& vcpu);

}  // namespace alcove::cpu

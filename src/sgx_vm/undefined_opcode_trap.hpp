// SPDX-License-Identifier: Apache-2.0
//
// How we get hold of an instruction that this processor does not have: KVM turns it into #UD inside the
// guest, and a hardware breakpoint on the first instruction of the guest's #UD handler ends KVM_RUN before
// that runs. So the breakpoint has to be where the vCPU's IDT says, whatever the guest does to it; follow()
// looks at every exit, when the registers are at hand anyway.
//
// While it is set, every #DB of the guest's ends KVM_RUN too, and the guest's own hardware breakpoints are
// not in force: there is one set of registers.
#pragma once

#include <optional>

#include "kvm/vcpu.hpp"
#include "sgx_vm/guest_page_tables.hpp"

namespace alcove::sgx_vm {

class UndefinedOpcodeTrap {
  public:
    // The vCPU is outside of enclaves, its tables are `tables`. An IDT that names no handler changes nothing.
    Result<void> follow(const kvm::Vcpu& vcpu, const GuestPageTables& tables, const kvm_dtable& idt);

    // The exit is a breakpoint at the handler.
    bool is_sprung(const kvm_debug_exit_arch& debug) const;

    std::optional<uint64_t> handler() const { return handler_; }

  private:
    std::optional<uint64_t> handler_;
};

}  // namespace alcove::sgx_vm

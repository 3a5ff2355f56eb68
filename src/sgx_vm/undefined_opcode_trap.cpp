// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/undefined_opcode_trap.hpp"

#include "sgx/spec.hpp"
#include "sgx_vm/interrupt_frame.hpp"

namespace alcove::sgx_vm {

namespace {

// SDM vol. 3B, "Debug Registers": breakpoint 0, for instructions.
constexpr uint64_t kDr7Enable0 = 0x1;
constexpr uint64_t kDr7Fixed = 0x400;
constexpr uint64_t kDr6Hit0 = 0x1;

}  // namespace

Result<void> UndefinedOpcodeTrap::follow(const kvm::Vcpu& vcpu, const GuestPageTables& tables,
                                         const kvm_dtable& idt) {
    const auto found = handler_of(tables, idt, sgx::vector::UD);
    if (!found || found == handler_) return {};
    kvm_guest_debug debug{};
    debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
    debug.arch.debugreg[0] = *found;
    debug.arch.debugreg[7] = kDr7Fixed | kDr7Enable0;
    TRY(vcpu.set_guest_debug(debug));
    handler_ = found;
    return {};
}

bool UndefinedOpcodeTrap::is_sprung(const kvm_debug_exit_arch& debug) const {
    return debug.exception == sgx::vector::DB && (debug.dr6 & kDr6Hit0) != 0 && debug.pc == handler_;
}

}  // namespace alcove::sgx_vm

// SPDX-License-Identifier: Apache-2.0
//
// SGX on one vCPU: takes ENCLS and ENCLU from the #UD handler's breakpoint to the engine, moves the vCPU into
// the protected view and out again, and turns each event inside an enclave into an asynchronous exit.
//
//          outside, ordinary view                          inside, protected view
//     ENCLS ──► breakpoint ──► leaf ──► behind it
//     EENTER, ERESUME ──► breakpoint ──► leaf ───────────► ring 3, shadow tables
//     behind it, AEP ◄── ENCLU (EEXIT) ◄── stub of #UD ◄──┤   other leaves of ENCLU: on in the enclave
//     handler ◄── at the AEP ◄── AEX ◄── stub of any event ┘  page fault that only filled a table: on
//
// Belongs to the vCPU's thread.
#pragma once

#include "cpu/exit_handler.hpp"
#include "kvm/view_switch.hpp"
#include "sgx_vm/enclave_memory.hpp"
#include "sgx_vm/enclave_watch.hpp"
#include "sgx_vm/inside_msrs.hpp"
#include "sgx_vm/private_pages.hpp"
#include "sgx_vm/resident_mappings.hpp"
#include "sgx_vm/undefined_opcode_trap.hpp"
#include "sgx_vm/vcpu_state.hpp"

namespace alcove::sgx_vm {

// What all vCPUs of a VM share.
struct VcpuParts {
    const GuestPhysical& physical;
    sgx::Engine& engine;
    const PrivatePages& pages;
    memory::GuestAddress ones;  // EnclaveMemory
    uint64_t nowhere;           // ViewSwitch::prepare()
    bool umip;                  // the guest's processor has it, so ours may
    bool sysenter;              // the host's processors have it in 64-bit mode
    ResidentMappings& mappings;
    EnclaveWatch& watch;
};

class SgxVcpu : public cpu::ExitHandler {
  public:
    // The vCPU has not run yet, and outlives this.
    static Result<std::unique_ptr<SgxVcpu>> create(kvm::Vcpu& vcpu, uint32_t index, const VcpuParts& parts);

    Result<Answer> handle() override;
    Result<void> interrupted() override;

    // Not while the vCPU is in KVM_RUN: by its thread, or by the one that parked it (cpu/parking.hpp). If it
    // is inside, it leaves by an asynchronous exit.
    Result<void> leave_enclave();

  private:
    SgxVcpu(kvm::Vcpu& vcpu, uint32_t index, const VcpuParts& parts);

    // Outside.
    Result<Answer> handle_debug();
    Result<bool> handle_undefined_opcode();  // false: it is genuine
    Result<void> finish_outside(sgx::Outcome<void> outcome);
    Result<void> hand_back_debug_exception(const kvm_debug_exit_arch& debug);
    Result<bool> is_step_of_kvms(const kvm_debug_exit_arch& debug) const;
    void handle_rdmsr();
    void handle_wrmsr();

    // Inside (sgx_vcpu_inside.cpp).
    Result<Answer> handle_inside();
    Result<void> handle_stub(uint8_t vector);
    Result<void> handle_event(uint8_t vector, std::optional<uint32_t> error_code);
    Result<void> handle_page_fault(uint32_t error_code);
    Result<void> handle_exception(const sgx::Exception& raw);
    Result<void> handle_debug_inside();
    Result<bool> handle_rsm();  // false: it is a triple fault
    Result<bool> is_interrupt(uint8_t vector, bool has_error_code) const;
    Result<void> exit_asynchronously(const sgx::Event& event, const kvm::Delivery& delivery);
    Result<void> enter_view();
    Result<void> leave_view(const kvm::Delivery& delivery, std::optional<uint64_t> cr2);
    Result<void> load_xcr0();
    void load_inside();

    void load(const kvm_regs& general, const kvm_sregs& special);
    Result<void> store_dr6(uint64_t value);
    Result<void> set_view(kvm::View view, const kvm::Delivery& delivery);
    static kvm::Delivery delivery_of(const sgx::Exception& exception);
    GuestPageTables tables_of(const kvm_sregs& special) const {
        return {parts_.physical, VcpuState::paging_mode(special)};
    }

    static constexpr uint64_t kDr6Bs = bit<uint64_t>(14);  // single step

    kvm::Vcpu& vcpu_;
    uint32_t index_;
    VcpuParts parts_;
    sgx::Processor processor_;
    VcpuState state_;
    UndefinedOpcodeTrap trap_;
    EnclaveMemory memory_;
    // A #UD of ours on its way to the guest's handler, by where it interrupts: after an exit from an enclave
    // that is an ENCLU, which must not be taken for another one of the guest's.
    std::optional<uint64_t> undefined_opcode_at_;
    uint64_t xcr0_ = 0;  // in force
    InsideMsrs msrs_;
    uint64_t iopl_ = 0;  // the outside's
};

}  // namespace alcove::sgx_vm

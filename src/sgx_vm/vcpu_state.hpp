// SPDX-License-Identifier: Apache-2.0
//
// A vCPU's state as leaf functions see it: taken from KVM when an instruction or event brought us here, given
// back to it when the guest goes on. What belongs to the outside alone (control registers, descriptor tables,
// CS and SS) is kept while the vCPU is in an enclave, and it is by these that translate() walks.
#pragma once

#include <linux/kvm.h>

#include "kvm/vcpu.hpp"
#include "sgx/leaf_context.hpp"
#include "sgx_vm/guest_page_tables.hpp"
#include "sgx_vm/interrupt_frame.hpp"

namespace alcove::sgx_vm {

class VcpuState : public sgx::LeafContext {
  public:
    VcpuState(const kvm::Vcpu& vcpu, const GuestPhysical& physical) : vcpu_(vcpu), physical_(physical) {}

    // Outside: an exception left `frame` and has been undone but for RIP, RSP and RFLAGS, which are the
    // frame's.
    void take_outside(const kvm_regs& general, const kvm_sregs& undone, const InterruptFrame& frame,
                      uint64_t xcr0);
    // Inside: the same on stacks of ours.
    void take_inside(const kvm_regs& general, const kvm_sregs& special, const InterruptFrame& frame);
    void set_instruction_length(uint8_t length) { length_ = length; }

    kvm_regs general() const;
    kvm_sregs outside() const;  // with FS and GS as they are now
    const kvm_sregs& kept() const { return outside_; }

    // The guest's own, whatever tables are in force.
    static PagingMode paging_mode(const kvm_sregs& special);
    GuestPageTables tables() const { return {physical_, paging_mode(outside_)}; }
    Requester requester() const;

    sgx::Registers& registers() override { return registers_; }
    const sgx::Registers& registers() const { return registers_; }
    sgx::ProcessorMode mode() const override;
    uint8_t instruction_length() const override { return length_; }
    sgx::Outcome<memory::GuestAddress> translate(uint64_t linear, sgx::Access access) override;
    sgx::Outcome<void> read(uint64_t linear, MutableByteView into) override;
    sgx::Outcome<void> write(uint64_t linear, ByteView from) override;
    Result<sgx::XsaveArea> xsave() const override { return vcpu_.xsave(); }
    Result<void> set_xsave(const sgx::XsaveArea& area) override { return vcpu_.set_xsave(area); }
    // The move itself is made when the leaf is over.
    void enter_enclave_mode(const sgx::EnclaveWorld&) override { inside_ = true; }
    void leave_enclave_mode() override { inside_ = false; }

  private:
    void take_general(const kvm_regs& general, const InterruptFrame& frame);

    const kvm::Vcpu& vcpu_;
    const GuestPhysical& physical_;
    sgx::Registers registers_{};
    kvm_sregs outside_{};
    uint8_t length_ = 3;
    bool inside_ = false;
};

}  // namespace alcove::sgx_vm

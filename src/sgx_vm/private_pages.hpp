// SPDX-License-Identifier: Apache-2.0
//
// What a processor needs around an enclave's code, in memory that only the protected view has: a GDT, an IDT,
// a TSS and stacks, and one stub for each vector. An event inside an enclave runs its stub in ring 0, whose
// first instruction is an access to a port that is no device's: KVM_RUN returns, and which stub it was says
// which event. Page tables come behind; each vCPU has a TSS, stacks and tables of its own.
//
//     page 0 GDT   1 IDT   2 stubs   then for each vCPU:  TSS   stacks   kTablePages tables
//
// At kOwnBase a vCPU has them in this order: GDT, IDT, stubs, TSS, stacks.
#pragma once

#include <optional>

#include <linux/kvm.h>

#include "sgx_vm/interrupt_frame.hpp"
#include "sgx_vm/shadow_tables.hpp"
#include "support/fd.hpp"
#include "support/mapping.hpp"

namespace alcove::sgx_vm {

class PrivatePages {
  public:
    static constexpr uint32_t kTablePages = 128;  // about as many times 2 MiB at once; more are made room for

    // At `base` of the protected view.
    static Result<PrivatePages> create(memory::GuestAddress base, uint32_t vcpus);

    memory::GuestRange range() const { return {.base = base_, .size = mapping_.size()}; }
    uint64_t host_address() const { return reinterpret_cast<uint64_t>(mapping_.data()); }

    ShadowTables make_tables(uint32_t vcpu) const;
    // A frame at `rsp` on that vCPU's stacks. An error code lies below it, and shows by where the frame is.
    struct StackedEvent {
        InterruptFrame frame;
        std::optional<uint32_t> error_code;
    };
    std::optional<StackedEvent> read_stack(uint32_t vcpu, uint64_t rsp) const;

    // Descriptor tables, segments, TR and stacks of ring 0, as they are for code of ring 3 in an enclave.
    static void put_environment(kvm_sregs& sregs);
    // The vector whose stub `rip` is in.
    static std::optional<uint8_t> vector_at(uint64_t rip);

  private:
    PrivatePages(memory::GuestAddress base, Mapping mapping) : base_(base), mapping_(std::move(mapping)) {}
    void fill_shared();
    void fill_tss(uint32_t vcpu);
    uint64_t offset_of(uint32_t vcpu) const;

    memory::GuestAddress base_;
    Mapping mapping_;
};

}  // namespace alcove::sgx_vm

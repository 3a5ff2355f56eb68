// SPDX-License-Identifier: Apache-2.0
//
// What a leaf function sees of the virtual processor that executes it, and all that it can do to it. The
// layer that traps instructions and switches worlds implements this; tests have context_fake.hpp.
//
// In enclave mode the same calls work on the enclave's processor state: registers() are the enclave's, and
// translate() walks the guest's own page tables, with the rights of ring 3, whatever tables really are in
// force.
#pragma once

#include <array>
#include <cstdint>

#include "memory/guest_address.hpp"
#include "sgx/outcome.hpp"
#include "sgx/page_index.hpp"
#include "support/bytes.hpp"

namespace alcove::sgx {

struct Segment {
    uint16_t selector = 0;
    uint64_t base = 0;
    uint32_t limit = 0;
    uint16_t rights = 0;  // as in VMX: type, S, DPL, P, AVL, L, DB, G
    bool operator==(const Segment&) const = default;
};

struct Registers {
    uint64_t rax = 0;
    uint64_t rcx = 0;
    uint64_t rdx = 0;
    uint64_t rbx = 0;
    uint64_t rsp = 0;
    uint64_t rbp = 0;
    uint64_t rsi = 0;
    uint64_t rdi = 0;
    std::array<uint64_t, 8> r8_r15{};
    uint64_t rip = 0;  // of the instruction itself
    uint64_t rflags = rflags::FIXED;
    Segment fs{};
    Segment gs{};
    uint64_t xcr0 = 0;
    bool operator==(const Registers&) const = default;
};

// The control registers' part in "Priority of checks" of ENCLS and ENCLU.
struct ProcessorMode {
    bool protected_mode = true;  // CR0.PE
    bool paging = true;          // CR0.PG
    bool task_switched = false;  // CR0.TS
    bool numeric_error = true;   // CR0.NE
    bool osfxsr = true;          // CR4
    bool osxsave = true;
    bool long_mode_64 = true;  // CS.L in IA-32e mode
    bool smm = false;
    uint8_t cpl = 0;
};

enum class Access : uint8_t { Read, Write, Execute };

// The first bytes of the standard form of XSAVE, as KVM_GET_XSAVE gives them.
using XsaveArea = std::array<uint8_t, kPageSize>;

// What the world that a processor enters consists of.
struct EnclaveWorld {
    PageIndex secs{};
    uint64_t eid = 0;
    uint64_t base = 0;  // ELRANGE
    uint64_t size = 0;
    bool operator==(const EnclaveWorld&) const = default;
};

class LeafContext {
  public:
    virtual ~LeafContext() = default;

    // Changed in place. A leaf that ends with an exception has changed nothing.
    virtual Registers& registers() = 0;
    virtual ProcessorMode mode() const = 0;
    virtual uint8_t instruction_length() const = 0;  // prefixes included

    // Through segmentation and the guest's page tables, with the current privilege, SMAP included; accessed
    // and dirty bits are set. #GP for an address that is not canonical, #PF as the tables say.
    virtual Outcome<memory::GuestAddress> translate(uint64_t linear, Access access) = 0;
    // Of ordinary memory, across pages; nothing is written before all of it can be. EPC reads as ones there
    // and takes no writes, as from any code outside enclaves.
    virtual Outcome<void> read(uint64_t linear, MutableByteView into) = 0;
    virtual Outcome<void> write(uint64_t linear, ByteView from) = 0;

    virtual Result<XsaveArea> xsave() const = 0;
    virtual Result<void> set_xsave(const XsaveArea& area) = 0;

    // From here on the processor runs in this world, or in the ordinary one; translations made before are
    // void. In the enclave: IDT and descriptors of ours, no breakpoints of the guest's.
    virtual void enter_enclave_mode(const EnclaveWorld& world) = 0;
    virtual void leave_enclave_mode() = 0;
};

}  // namespace alcove::sgx

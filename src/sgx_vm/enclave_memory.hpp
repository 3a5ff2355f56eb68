// SPDX-License-Identifier: Apache-2.0
//
// The memory of code inside an enclave: what the guest's page tables *and* the EPCM allow, put into shadow
// tables as it is touched.
//
// A processor forgets its translations at every entry. Here they are looked at again instead, each by the
// walk and the check that made it, and those that would not be made again are taken away: the same, but
// without a fault for each page that is touched next. Between entries they may be stale, as hardware's may.
//
// A page is fetched before it is mapped, and may be moved away again while the vCPU is not inside.
//
// Source: SDM vol. 3D, "Enclave Access Control and Data Structures", "Access-control Requirements".
#pragma once

#include <mutex>

#include "sgx/engine.hpp"
#include "sgx_vm/guest_page_tables.hpp"
#include "sgx_vm/shadow_tables.hpp"

namespace alcove::sgx_vm {

class EnclaveMemory {
  public:
    // `ones` is a page of the protected view that reads as ones and takes no writes: what code inside finds
    // where EPC is mapped outside of its ELRANGE.
    EnclaveMemory(ShadowTables tables, sgx::Engine& engine, memory::GuestAddress ones)
        : tables_(std::move(tables)), engine_(engine), ones_(ones) {}

    const ShadowTables& tables() const { return tables_; }

    // The processor has just entered; `guest` are its tables, from `cr3` on.
    void enter(const sgx::Processor& processor, const GuestPageTables& guest, uint64_t cr3);
    // A page fault inside. An exception is the guest's, and of the enclave's; without, try again.
    sgx::Outcome<void> fault(const sgx::Processor& processor, const GuestPageTables& guest, uint64_t linear,
                             sgx::Access access);
    // The vCPU goes on inside, with this root for CR3, until pause(): what it has mapped stays.
    uint64_t resume();
    void pause();

    // For whoever moves EPC pages away, on any thread.
    bool was_accessed(sgx::PageIndex page);
    // False: the vCPU has it mapped, and is inside.
    bool give_up(sgx::PageIndex page);

    // Instruction bytes from `rip` on; as many as can be executed.
    Result<size_t> fetch(const sgx::Processor& processor, const GuestPageTables& guest, uint64_t rip,
                         MutableByteView into);

  private:
    sgx::Outcome<ShadowPage> translate(const sgx::Processor& processor, uint64_t linear, sgx::Access access,
                                       const PageWalk& walk) const;
    bool is_valid_still(const sgx::Processor& processor, const GuestPageTables& guest, uint64_t linear,
                        const ShadowPage& page) const;

    // Of tables_, and of what follows it; never held while a page is fetched, which may ask for pages of
    // this.
    mutable std::mutex mutex_;
    ShadowTables tables_;
    bool runs_ = false;
    bool lost_pages_ = false;  // since CR3 was loaded
    uint64_t loaded_root_ = 0;

    sgx::Engine& engine_;
    memory::GuestAddress ones_;
    std::optional<sgx::EnclaveWorld> world_;  // whose translations these are
    uint64_t cr3_ = 0;
};

}  // namespace alcove::sgx_vm

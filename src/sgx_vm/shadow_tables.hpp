// SPDX-License-Identifier: Apache-2.0
//
// The page tables that are in force while a vCPU runs code of an enclave: ours, in memory that only the
// protected view has. They map what was touched, page by page, and beside it the few pages of
// private_pages.hpp for ring 0.
//
// The vCPU is outside of the guest whenever something changes here. What is taken away is gone for the
// processor when CR3 has changed: entering and leaving do that, and reset() and renew_root() make another
// root so that staying inside does it too.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "memory/guest_address.hpp"
#include "sgx/page_index.hpp"
#include "support/bytes.hpp"

namespace alcove::sgx_vm {

// Where our own pages are. Departure: what a guest maps for ring 3 in these 512 GiB of the upper half, where
// no operating system has any, code inside an enclave can not reach: it gets #PF.
inline constexpr uint64_t kOwnBase = 0xffff'ff00'0000'0000;

struct ShadowPage {
    memory::GuestAddress page{};  // in the protected view
    bool writable = false;
    bool executable = false;
    std::optional<sgx::PageIndex> enclosed{};  // which EPC page it is, if it is the enclave's
    bool operator==(const ShadowPage&) const = default;
};

class ShadowTables {
  public:
    // Enough for two roots, our own tables, and tables for one page anywhere.
    static constexpr size_t kMinTables = 2 + 3 + 3;

    // `tables` is whole pages at `base`. `own` are mapped for ring 0 from kOwnBase on, in their order.
    struct OwnPage {
        memory::GuestAddress page{};
        bool writable = false;
        bool executable = false;
    };
    ShadowTables(MutableByteView tables, memory::GuestAddress base, std::vector<OwnPage> own);

    void reset();           // forgets everything that was mapped
    uint64_t root() const;  // for CR3

    // An address among our own pages' neighbours can not be mapped: false. When tables run out, all others
    // are forgotten first.
    bool map(uint64_t linear, const ShadowPage& page);
    void unmap(uint64_t linear);
    std::optional<ShadowPage> find(uint64_t linear) const;
    // Another root with all that is mapped.
    void renew_root();

    // By EPC page. An enclave has it at one address only.
    bool has(sgx::PageIndex page) const { return enclosed_.contains(page); }
    void unmap(sgx::PageIndex page);
    // Whether the processor has used it since the last call, or since it was mapped. It may go on using what
    // it has looked up before without saying so again. Any time.
    bool take_accessed(sgx::PageIndex page);

    const std::map<uint64_t, ShadowPage>& pages() const { return pages_; }  // by linear address

  private:
    bool insert(uint64_t linear, uint64_t leaf, uint64_t directory_rights);
    void forget(uint64_t linear);
    uint64_t* leaf_of(uint64_t linear) const;  // of an address with tables
    uint64_t* entry_of(uint32_t table, uint64_t index) const;
    uint64_t address_of(uint32_t table) const { return base_.value() + uint64_t{table} * 4096; }

    MutableByteView tables_;
    memory::GuestAddress base_;
    std::vector<OwnPage> own_;
    uint32_t root_ = 0;  // 0 or 1
    uint32_t next_table_ = 0;
    std::map<uint64_t, ShadowPage> pages_;
    std::map<sgx::PageIndex, uint64_t> enclosed_;  // where they are in pages_
};

}  // namespace alcove::sgx_vm

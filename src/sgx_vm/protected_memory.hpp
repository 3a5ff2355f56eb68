// SPDX-License-Identifier: Apache-2.0
//
// What lies in the two views beside RAM, which is in both:
//
//                  ordinary view                      protected view
//     EPC          ones; writes are lost              the contents
//     private      nothing                            PrivatePages, then one page of ones
//
// A write to a read-only slot is an access that KVM gives to the bus, where no device claims it.
#pragma once

#include <vector>

#include "kvm/view_switch.hpp"
#include "sgx/sections.hpp"
#include "sgx_vm/private_pages.hpp"
#include "support/fd.hpp"
#include "support/mapping.hpp"
#include "support/repeated_mapping.hpp"

namespace alcove::sgx_vm {

class ProtectedMemory {
  public:
    // `epc` is the file of a PageStore's memory; private pages lie at `base`.
    static Result<ProtectedMemory> create(const sgx::Sections& sections, const Fd& epc,
                                          memory::GuestAddress base, uint32_t vcpus);

    // Of an EPC whose pages come and go (sgx/small_pages.hpp).
    Result<void> use_small_epc_pages() const;

    const PrivatePages& private_pages() const { return private_; }
    memory::GuestAddress ones() const { return memory::GuestAddress(private_.range().end()); }
    uint64_t end() const { return ones().value() + sgx::kPageSize; }

    // For KVM, numbered from `first` on in each view.
    std::vector<kvm::MemorySlot> slots(uint32_t first_ordinary, uint32_t first_protected) const;

  private:
    ProtectedMemory(std::vector<memory::GuestRange> sections, Mapping epc, std::vector<RepeatedMapping> ones,
                    PrivatePages private_pages)
        : sections_(std::move(sections)),
          epc_(std::move(epc)),
          ones_(std::move(ones)),
          private_(std::move(private_pages)) {}

    std::vector<memory::GuestRange> sections_;
    Mapping epc_;
    std::vector<RepeatedMapping> ones_;  // one for each section
    PrivatePages private_;
};

}  // namespace alcove::sgx_vm

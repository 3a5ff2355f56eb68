// SPDX-License-Identifier: Apache-2.0
//
// Guest-physical memory as code outside enclaves finds it: RAM, and ones everywhere else. EPC is no RAM, so
// it reads as ones too and takes no writes (SDM vol. 3D, "Enclave Access Control", abort page semantics).
#pragma once

#include <memory>

#include "memory/guest_memory.hpp"

namespace alcove::sgx_vm {

class GuestPhysical {
  public:
    explicit GuestPhysical(std::shared_ptr<const memory::GuestMemory> ram) : ram_(std::move(ram)) {}

    // Within one page.
    void read(memory::GuestAddress address, MutableByteView into) const;
    void write(memory::GuestAddress address, ByteView from) const;
    bool is_ram_page(memory::GuestAddress page) const;

    // Page table entries, on their boundary.
    uint64_t entry(memory::GuestAddress address) const;
    // False: the entry is not `expected` any more.
    bool change_entry(memory::GuestAddress address, uint64_t expected, uint64_t desired) const;

  private:
    std::shared_ptr<const memory::GuestMemory> ram_;
};

}  // namespace alcove::sgx_vm

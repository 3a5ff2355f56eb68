// SPDX-License-Identifier: Apache-2.0
//
// The shadow page tables of all vCPUs, as a store with a budget asks for them (sgx/spilling_store.hpp): which
// EPC pages enclaves use, and which may leave.
//
// A vCPU that runs code of an enclave keeps what it has mapped: a page leaves when no such vCPU has it. Each
// leaves its enclave at every interrupt, so that is soon.
#pragma once

#include <vector>

#include "sgx/spilling_store.hpp"

namespace alcove::sgx_vm {

class EnclaveMemory;

class ResidentMappings final : public sgx::PageMappings {
  public:
    // Before any vCPU runs. Borrowed.
    void add(EnclaveMemory& memory) { memories_.push_back(&memory); }

    bool was_accessed(sgx::PageIndex page) override;
    bool unmap(sgx::PageIndex page) override;

  private:
    std::vector<EnclaveMemory*> memories_;
};

}  // namespace alcove::sgx_vm

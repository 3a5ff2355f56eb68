// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/resident_mappings.hpp"

#include <algorithm>

#include "sgx_vm/enclave_memory.hpp"

namespace alcove::sgx_vm {

bool ResidentMappings::was_accessed(sgx::PageIndex page) {
    bool accessed = false;
    for (auto* memory : memories_)
        accessed = memory->was_accessed(page) || accessed;
    return accessed;
}

bool ResidentMappings::unmap(sgx::PageIndex page) {
    return std::ranges::all_of(memories_, [page](auto* memory) { return memory->give_up(page); });
}

}  // namespace alcove::sgx_vm

// SPDX-License-Identifier: Apache-2.0
//
// Functions that the kernel maps into every process (Linux tools/testing/selftests/vDSO has the same for C).
#pragma once

#include <string_view>

namespace alcove::sgx_program {

// Null where this kernel has none of that name.
void* find_in_vdso(std::string_view name);

}  // namespace alcove::sgx_program

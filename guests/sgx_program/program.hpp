// SPDX-License-Identifier: Apache-2.0
//
// What the parts of the program share, and what its first argument may ask for.
#pragma once

#include "sgx_program/enclave.hpp"

namespace alcove::sgx_program {

constexpr int kFailure = 1;  // the program's exit code

void line(const char* name, uint64_t value);
void line(const char* name, const Exit& exit);

Enclave build(bool debug);  // ends the program where it can not

// An enclave adds two numbers.
void use();
// A debugger and breakpoints, in processes that use enclaves.
void debug_processes();
// Enclaves that are larger than the EPC, and grow into it.
void outgrow_epc();
// Another kernel takes over, by kexec or because this one crashes, while a processor is inside an enclave. It
// finds what it boots in /next.
enum class Way : unsigned char { Kexec, Crash };
void hand_over(Way way, const char* command_line);

}  // namespace alcove::sgx_program

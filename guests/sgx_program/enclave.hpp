// SPDX-License-Identifier: Apache-2.0
//
// The unikernel's enclave (guests/unikernel/enclave.S), as a program under Linux has it: built by the
// driver's ioctls, entered by the vDSO (Linux Documentation/arch/x86/sgx.rst).
#pragma once

#include <cstddef>
#include <cstdint>

#include "sgx/spec_signature.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::sgx_program {

// What enclave.S is asked in RDI.
enum class Command : uint64_t { Add = 1, Sum = 2, Spin = 3, Report = 10, GetKey = 11 };

// How the stay ended.
struct Exit {
    uint32_t function;  // EEXIT; or EENTER or ERESUME, which met an exception
    uint64_t answer;    // RSI, after EEXIT
    uint16_t vector;
    uint16_t error_code;
    uint64_t address;
};

class Enclave {
  public:
    // Open to debuggers, if so wanted.
    static Result<Enclave> build(bool debug);
    Enclave(Enclave&& other) noexcept;
    Enclave& operator=(Enclave&&) = delete;
    ~Enclave();

    Exit enter(Command command, uint64_t argument) const;
    // Where the sum is that Command::Add adds to.
    uint64_t sum_address() const;

    static const sgx::SIGSTRUCT& signature();

  private:
    Enclave(Fd device, uint8_t* base) : device_(std::move(device)), base_(base) {}

    Fd device_;
    uint8_t* base_;  // of ELRANGE
};

}  // namespace alcove::sgx_program

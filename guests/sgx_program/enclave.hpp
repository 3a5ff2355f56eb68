// SPDX-License-Identifier: Apache-2.0
//
// The unikernel's enclave (guests/unikernel/enclave.S), as a program under Linux has it: built by the
// driver's ioctls, entered by the vDSO (Linux Documentation/arch/x86/sgx.rst).
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/fd.hpp"
#include "support/result.hpp"
#include "unikernel/enclave.hpp"

namespace alcove::sgx_program {

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
    // As far as its first page; add_rest() does what is left.
    static Result<Enclave> begin(bool debug);
    Result<void> add_rest() const;
    Enclave(Enclave&& other) noexcept;
    Enclave& operator=(Enclave&&) = delete;
    ~Enclave();

    Exit enter(Command command, uint64_t argument) const;
    // Without the vDSO: the signal that ends it, 0 if none does.
    int signal_of_entry(Command command, uint64_t argument) const;
    // Where the sum is that kAdd adds to.
    uint64_t sum_address() const;
    // Touches so many pages more, which are there from then on; how many were taken.
    uint64_t grow(uint64_t pages) const;
    // Reads and writes so many of those again; the leaf by which it came back.
    uint32_t sweep_grown(uint64_t pages) const;

  private:
    Enclave(Fd device, uint8_t* base) : device_(std::move(device)), base_(base) {}

    Fd device_;
    uint8_t* base_;  // of ELRANGE
};

}  // namespace alcove::sgx_program

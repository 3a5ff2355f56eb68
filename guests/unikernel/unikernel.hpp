// SPDX-License-Identifier: Apache-2.0
//
// What the parts of the unikernel share: start.S below, unikernel.cpp, and trials.cpp, which has the enclave
// do what is not allowed.
#pragma once

#include <cstdint>

#include "sgx/spec.hpp"
#include "sgx/spec_signature.hpp"

extern "C" {
// start.S, where they are described.
uint64_t encls(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);
uint64_t run_enclave(uint64_t leaf, uint64_t tcs, uint64_t command, uint64_t argument);
uint64_t provoke(uint64_t (*function)(uint64_t), uint64_t argument);
void timer_interrupt();
void return_to_kernel();
void print_text(const char* text);
void print_number(uint64_t value);
extern uint8_t kernel_stubs[];
extern const uint8_t run_enclave_aep[];
extern volatile uint64_t timer_interrupts, timer_done;  // done: five
extern volatile struct LastException { uint64_t vector, error, address, rip, rax; } last_exception;
extern uint64_t identity_pml4[512], identity_pdpt[512], identity_pd[4 * 512];

// enclave.S.
struct EnclavePage {
    const uint8_t* source;
    uint64_t offset;
    uint64_t flags;
};
constexpr uint64_t kEnclavePages = 5;
extern struct {
    uint64_t size, frame_pages, count;
    EnclavePage pages[kEnclavePages];
} enclave_layout;
extern alcove::sgx::SIGSTRUCT enclave_sigstruct;
extern uint64_t enclave_mrsigner[4];

// hvm_start_info of PVH (Xen, xen/include/public/arch-x86/hvm/start_info.h), as far as it is read.
struct StartInfo {
    uint64_t other[3];
    uint64_t command_line;  // physical; 0: none
};
void unikernel_main(const StartInfo* info);
}

constexpr uint64_t kFaulted = uint64_t{1} << 30;  // encls(): and the vector
// What run_enclave() and provoke() give after an exception; without one last_exception.vector is this too.
constexpr uint64_t kException = ~uint64_t{0};

constexpr uint64_t kEpcWindow = uint64_t{1} << 39;  // linear
constexpr uint64_t kEnclave = uint64_t{2} << 39;
constexpr uint64_t kTcs = kEnclave;

enum Command : uint64_t { kNothing, kAdd, kSum, kSpin, kRun, kLoad, kStore, kJump };

inline uint64_t address(const volatile void* pointer) {
    return reinterpret_cast<uint64_t>(pointer);
}
inline uint64_t leaf(alcove::sgx::Encls number) {
    return static_cast<uint64_t>(number);
}
void line(const char* name, uint64_t value);
inline void mark() {  // the host looks at its counters
    print_text("\x01");
}
uint64_t epc_page(uint64_t number);      // linear, for ring 0
uint64_t epc_address(uint64_t number);   // physical
uint64_t* enclave_entry(uint64_t page);  // of the page table
void reload_page_tables();

uint64_t enter(uint64_t command, uint64_t argument = 0);
uint64_t resume();

void build();            // the enclave, from nothing; prints how it went
void print_exception();  // the last one

void run_trials();
void stay();
void carry_ballast();

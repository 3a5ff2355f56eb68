// SPDX-License-Identifier: Apache-2.0
//
// What the parts of the unikernel share: start.S below, unikernel.cpp, and what is done with the enclave, a
// file each.
#pragma once

#include <cstdint>

#include "sgx/spec.hpp"
#include "unikernel/enclave.hpp"

extern "C" {
// start.S, where they are described.
uint64_t encls(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);
uint64_t run_enclave(uint64_t leaf, uint64_t tcs, uint64_t command, uint64_t argument);
uint64_t run_outside(const void* function, uint64_t argument);
uint64_t provoke(uint64_t (*function)(uint64_t), uint64_t argument);
void timer_interrupt();
void nmi_interrupt();
void return_to_kernel();
void print_text(const char* text);
void print_number(uint64_t value);
extern uint8_t kernel_stubs[];
extern uint8_t other_undefined_opcode[];  // a handler of #UD, and what it does is the other one's
extern const uint8_t run_enclave_aep[], trampoline[], trampoline_end[];
extern volatile uint64_t encls_rbx, user_rflags;
extern volatile uint64_t timer_interrupts, timer_done;  // done: five
struct LastException {
    uint64_t vector, error, address, rip, rax;
};
struct Processor {
    Processor* self;
    uint64_t of_start[2];
    LastException last_exception;
    uint64_t seen[15];  // general registers that the last exception or NMI interrupted
    uint64_t unused;
    uint64_t seen_xmm[4];  // XMM0 and XMM7 then
    uint64_t nmis, nmi_rip;
    uint64_t rest[2];
};
static_assert(sizeof(Processor) == 256);
constexpr uint32_t kProcessors = 4;
extern volatile Processor processors[kProcessors];
extern volatile struct Arrived { uint64_t count, registers[4], xmm[4]; } arrived;
void* memcpy(void* to, const void* from, unsigned long count);
struct [[gnu::packed]] TablePointer {
    uint16_t limit;
    uint64_t base;
};
extern TablePointer interrupt_table;
extern uint64_t identity_pml4[512], identity_pdpt[512], identity_pd[4 * 512];

// enclave.S, for those that are inside the same image.
extern uint64_t enclave_mrsigner[4];
extern const uint8_t compute_rounds[];

// hvm_start_info of PVH (Xen, xen/include/public/arch-x86/hvm/start_info.h), as far as it is read.
struct StartInfo {
    uint64_t other[3];
    uint64_t command_line;  // physical; 0: none
};
void unikernel_main(const StartInfo* info);
void processor_main();
}

constexpr uint64_t kFaulted = uint64_t{1} << 30;  // encls(): and the vector
// What run_enclave() and provoke() give after an exception; without one last_exception().vector is this too.
constexpr uint64_t kException = ~uint64_t{0};

constexpr uint64_t kEpcWindow = uint64_t{1} << 39;  // linear
constexpr uint64_t kEnclave = uint64_t{2} << 39;
constexpr uint64_t kNeighbour = uint64_t{4} << 39;  // another one
constexpr uint64_t kHeap = 2 << 20;  // in ELRANGE: pages that are added while the enclave is in use
constexpr uint64_t kLapic = 0xfee0'0000;

inline uint64_t address(const volatile void* pointer) {
    return reinterpret_cast<uint64_t>(pointer);
}
inline uint64_t leaf(alcove::sgx::Encls number) {
    return static_cast<uint64_t>(number);
}
inline volatile Processor& this_processor() {
    volatile Processor* self;
    asm volatile("mov %%gs:0, %0" : "=r"(self));
    return *self;
}
inline volatile LastException& last_exception() {
    return this_processor().last_exception;
}
inline bool was_exception() {
    return last_exception().vector != kException;
}
inline uint64_t read_tsc() {
    uint32_t low, high;
    asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return uint64_t{high} << 32 | low;
}
struct Cpuid {
    uint32_t eax, ebx, ecx, edx;
};
Cpuid cpuid(uint32_t leaf, uint32_t subleaf);
void wrmsr(uint32_t index, uint64_t value);
inline void write_lapic(uint64_t at, uint32_t value) {
    *reinterpret_cast<volatile uint32_t*>(kLapic + at) = value;
}

void line(const char* name, uint64_t value);
inline void mark() {  // the host looks at its counters
    print_text("\x01");
}
void print_exception();  // the last one
// Of the kernel's own: what provoke() gave, or the exception.
void report(const char* name, uint64_t result);
// Of the enclave's. After an exception it is entered once more, where it has a look at its saved state and
// makes the interrupted code leave; EXITINFO is what that gives.
void report_inside(const char* name, uint64_t command, uint64_t argument, uint64_t tcs = kEnclave);

void print_words(const char* name, const volatile void* from, uint64_t bytes);
// EGETKEY's: the key, or its status.
void print_key(const char* name, uint64_t tcs, alcove::sgx::KeyName key, uint16_t policy);

uint64_t epc_page(uint64_t number);      // linear, for ring 0
uint64_t epc_address(uint64_t number);   // physical
uint64_t* enclave_entry(uint64_t page);  // of the page table
uint64_t* heap_entry(uint64_t page);
void reload_page_tables();

// Where an enclave of enclave.S is: its SECS is EPC page `epc`, its other pages are behind it.
struct Place {
    uint64_t linear, epc;
    uint64_t* table;  // of its pages
};
constexpr uint64_t kEpcPages = kEnclavePages + 1;  // of one
// 0, or what the first leaf that failed said. ATTRIBUTES: these beside MODE64BIT.
uint64_t build_at(const Place& place, uint64_t attributes);
uint64_t build_first(uint64_t attributes);  // at kEnclave
uint64_t build_neighbour();                 // at kNeighbour, open to debuggers

uint64_t enter(uint64_t command, uint64_t argument = 0);
uint64_t enter_at(uint64_t tcs, uint64_t command, uint64_t argument = 0);
uint64_t resume(uint64_t tcs = kEnclave);
uint64_t tcs_of(uint64_t thread);  // of four; linear

void build();  // the enclave, from nothing; prints how it went
constexpr uint64_t kHeapPages = 491;
void build_heap(uint64_t pages = kHeapPages);  // and so many pages more, by EAUG and EACCEPT

// Several processors at the same EPC pages, each with its number: first the one, last the other, by one
// processor.
void prepare_contention();
void contend(uint64_t number);
void end_contention();

// What the command line may ask for.
void run_trials();
void run_neighbours();
void show_sealing_key();
void run_devices();
void use_disk();
void run_processors();
void run_crowd();
void run_timing();
void run_computing();
void run_sweeps();
void hold();
extern volatile uint64_t never;  // what code that spins waits for
void stay();
void try_interrupts();
void load_epc_into_cr3();
void send_smi();
void carry_ballast();
void show_configuration();

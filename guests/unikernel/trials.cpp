// SPDX-License-Identifier: Apache-2.0
//
// A kernel that tries to get at its enclave, and an enclave that tries what it may not. Each line is compared
// by a test: a name, then numbers.
#include "unikernel/unikernel.hpp"

using alcove::sgx::Encls;
using alcove::sgx::kPageSize;

namespace {

constexpr uint64_t kDataEpc = 5;
constexpr uint64_t kTrialLinear = uint64_t{3} << 39;  // for page tables that lie in EPC

alignas(kPageSize) uint64_t scratch[512];

uint64_t load(uint64_t linear) {
    return *reinterpret_cast<volatile uint64_t*>(linear);
}
uint64_t undefined(uint64_t) {
    asm volatile("ud2");
    return 0;
}
uint64_t single_step(uint64_t) {
    asm volatile("pushf; orq $0x100, (%%rsp); popf; nop; nop" ::: "memory");
    return 0;
}
uint64_t call(uint64_t linear) {
    reinterpret_cast<void (*)()>(linear)();
    return 0;
}

void try_as_kernel() {
    report("ud2", provoke(undefined, 0));
    report("step", provoke(single_step, 0));
    const uint64_t secret = epc_page(kDataEpc);
    report("kernel load", provoke(load, secret));
    *reinterpret_cast<volatile uint64_t*>(secret) = 0x1234;
    report("kernel load after store", provoke(load, secret));
    const void* from = reinterpret_cast<const void*>(secret);
    void* to = scratch;
    uint64_t count = sizeof scratch;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
    uint64_t all = ~uint64_t{0};
    for (const uint64_t word : scratch)
        all &= word;
    line("kernel rep movs", all);
    report("kernel fetch", provoke(call, secret));
    identity_pml4[3] = epc_address(kDataEpc) | 7;
    reload_page_tables();
    report("kernel page table", provoke(load, kTrialLinear));
    identity_pml4[3] = 0;
    reload_page_tables();
    line("sum", enter(kSum));
}

void try_leaves() {
    line("eadd outside", encls(leaf(Encls::EADD), 1, epc_page(9), 0));
    line("unknown leaf", encls(0x77, 0, 0, 0));
    line("eremove inside", encls(leaf(Encls::EREMOVE), 0, epc_page(0), 0));
    line("eremove ram", encls(leaf(Encls::EREMOVE), 0, address(scratch) & ~(kPageSize - 1), 0));
}

void try_memory() {
    report_inside("load outside", kLoad, address(&timer_done));
    report_inside("store outside", kStore, address(scratch));
    line("stored", scratch[0] == address(scratch) ? 1 : 0);
    report_inside("load hole", kLoad, kEnclave + 9 * kPageSize);
    report_inside("load tcs", kLoad, kEnclave);
    report_inside("load epc", kLoad, epc_page(kDataEpc));
    report_inside("store epc", kStore, epc_page(kDataEpc));
    report_inside("jump outside", kJump, address(scratch));
    report_inside("store code", kStore, kEnclave + 3 * kPageSize);
    report_inside("load unmapped", kLoad, kTrialLinear);
    // The kernel swaps two pages of the enclave under it, and shows it memory of its own.
    auto* entry = enclave_entry(kDataPage);
    const uint64_t right = *entry;
    *entry = *enclave_entry(1);
    report_inside("swapped page", kSum, 0);
    *entry = (address(scratch) & ~(kPageSize - 1)) | 7;
    report_inside("page of ram", kSum, 0);
    *entry = right & ~uint64_t{2};
    report_inside("read-only page", kAdd, 1);
    *entry = right;
    line("sum", enter(kSum));
    // Marks as a processor leaves them.
    *entry = right & ~uint64_t{0x60};
    enter(kSum);
    line("accessed", *entry & 0x60);
    enter(kAdd, 0);
    line("dirty", *entry & 0x60);
}

void try_instructions() {
    static constexpr const char* kNames[] = {"cpuid", "getsec",  "rdpmc",    "sgdt",   "sidt", "sldt",
                                             "str",   "smsw",    "in",       "out",    "outs", "ins",
                                             "int",   "syscall", "sysenter", "vmfunc", "rsm",  "mov ss",
                                             "int3",  "own ud2", "hlt",      "icebp"};
    for (uint64_t i = 0; i < sizeof kNames / sizeof *kNames; ++i)
        report_inside(kNames[i], kRun, i);
}

}  // namespace

void print_exception() {
    print_text(" exception ");
    print_number(last_exception().vector);
    print_text(" ");
    print_number(last_exception().error);
    print_text(" ");
    print_number(last_exception().address);
}

void report(const char* name, uint64_t result) {
    if (!was_exception()) return line(name, result);
    print_text(name);
    print_exception();
    print_text("\n");
}

void report_inside(const char* name, uint64_t command, uint64_t argument) {
    const uint64_t result = enter(command, argument);
    if (!was_exception()) return line(name, result);
    const uint64_t at_aep = last_exception().rip == address(run_enclave_aep) ? last_exception().rax : 0;
    print_text(name);
    print_exception();
    line(" rax", at_aep);
    enter(kNothing);
    line("  exitinfo", resume());
}

// A timer's interrupts end the enclave's loop again and again; it resumes by itself until there were five.
void try_interrupts() {
    write_lapic(0xf0, 0x1ff);
    write_lapic(0x3e0, 0xb);             // not divided
    write_lapic(0x320, 0x40 | 1 << 17);  // periodic
    timer_done = 1;
    enter(kSpin, address(&timer_done));  // its pages are in the tables now
    timer_done = 0;
    mark();
    write_lapic(0x380, 10'000'000);
    const uint64_t spins = enter(kSpin, address(&timer_done));
    write_lapic(0x380, 0);
    mark();
    line("interrupts", timer_interrupts >= 5 ? 1 : 0);
    line("spun", spins > 0 && spins != kException ? 1 : 0);
    line("sum", enter(kSum));
}

void run_trials() {
    try_as_kernel();
    try_leaves();
    try_interrupts();
    try_memory();
    try_instructions();
}

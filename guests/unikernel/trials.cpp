// SPDX-License-Identifier: Apache-2.0
//
// A kernel that tries to get at its enclave, and an enclave that tries what it may not. Each line is compared
// by a test: a name, then numbers.
#include "sgx/spec_enclave.hpp"
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
uint64_t breakpoint(uint64_t) {
    asm volatile(".byte 0xf1");  // ICEBP
    return 0;
}
uint64_t call(uint64_t linear) {
    reinterpret_cast<void (*)()>(linear)();
    return 0;
}

void try_as_kernel() {
    report("ud2", provoke(undefined, 0));
    report("step", provoke(single_step, 0));
    report("kernel icebp", provoke(breakpoint, 0));
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

// The exception by which Alcove gets hold of ENCLS and ENCLU has its handler where the IDT says.
alignas(16) uint64_t second_idt[2 * 256];

void load_idt(const uint64_t* table) {
    const TablePointer pointer{.limit = interrupt_table.limit, .base = address(table)};
    asm volatile("lidt %0" ::"m"(pointer));
}
void set_undefined_opcode_handler(uint64_t* table, uint64_t handler) {
    constexpr uint64_t kOffset = uint64_t{0xffff} << 48 | 0xffff;
    table[12] = (table[12] & ~kOffset) | (handler & 0xffff) | (handler >> 16 & 0xffff) << 48;
}
void use_table(const char* name) {
    print_text(name);  // it leaves the guest, and so Alcove learns of the table
    line(" eremove", encls(leaf(Encls::EREMOVE), 0, epc_page(0), 0));
    print_text(name);
    line(" sum", enter(kSum));
    print_text(name);
    report(" ud2", provoke(undefined, 0));
}
void try_interrupt_tables() {
    auto* const first = reinterpret_cast<uint64_t*>(interrupt_table.base);
    const uint64_t usual = address(kernel_stubs) + 16 * 6;
    memcpy(second_idt, first, sizeof second_idt);
    set_undefined_opcode_handler(second_idt, address(other_undefined_opcode));
    load_idt(second_idt);
    use_table("second idt");
    set_undefined_opcode_handler(second_idt, usual);
    use_table("changed gate");
    set_undefined_opcode_handler(second_idt, address(other_undefined_opcode));
    use_table("changed again");
    load_idt(first);
    use_table("first idt");
}

uint64_t look(uint64_t linear) {
    return *reinterpret_cast<volatile uint32_t*>(linear);
}

// What is not RAM, seen from inside: devices as from anywhere, nothing where nothing is mapped, and at the
// addresses where Alcove has pages of its own a fault, though the kernel maps memory there.
void try_far_memory() {
    constexpr uint64_t kWindow = 0xd000'0000;
    constexpr uint64_t kLapicVersion = kLapic + 0x30;
    constexpr uint64_t kOwnPages = 0xffff'ff00'0000'0000;
    constexpr uint64_t kOwnEntry = 510;
    for (const uint64_t linear : {kWindow, kLapicVersion}) {  // for ring 3
        identity_pdpt[linear >> 30] |= 4;
        identity_pd[linear >> 21] |= 4;
    }
    reload_page_tables();
    line("device outside", look(kWindow));
    report_inside("device inside", kLook, kWindow);
    line("lapic outside", look(kLapicVersion));
    report_inside("lapic inside", kLook, kLapicVersion);
    identity_pml4[kOwnEntry] = identity_pml4[0];
    reload_page_tables();
    report_inside("load own pages", kLoad, kOwnPages);
    report_inside("store own pages", kStore, kOwnPages + 0x3000);
    report_inside("jump to own pages", kJump, kOwnPages + 0x2000);
    identity_pml4[kOwnEntry] = 0;
    reload_page_tables();
    uint64_t faults = 0;
    uint64_t steps = 0;
    for (uint64_t entry = 5; entry < 512; entry += 13, ++steps) {
        const uint64_t linear = (entry >= 256 ? uint64_t{0xffff} << 48 : 0) | entry << 39;
        enter(kLoad, linear);
        const bool is_right = last_exception().vector == 14 && last_exception().error == 4 &&
                              last_exception().address == linear;
        faults += is_right ? 1 : 0;
        enter(kNothing);
        resume();
    }
    line("steps without a fault", steps - faults);
}

// An exception in the enclave's handler of one, until the state save area is full.
void try_nested_faults() {
    constexpr uint64_t kOuter = 16, kInner = 17;  // in 2 MiB, which nothing lies in
    constexpr uint64_t kLarge = 2 << 20;
    const auto hide = [](uint64_t entry, bool hidden) {
        asm volatile("" ::: "memory");  // what was written there before
        identity_pd[entry] = hidden ? identity_pd[entry] & ~uint64_t{1} : identity_pd[entry] | 1;
        reload_page_tables();
    };
    *reinterpret_cast<volatile uint32_t*>(kOuter * kLarge) = 0x1111;
    *reinterpret_cast<volatile uint32_t*>(kInner * kLarge) = 0x2222;
    hide(kOuter, true);
    hide(kInner, true);
    report("outer fault", enter(kLook, kOuter * kLarge));
    report("inner fault", enter(kNested, kInner * kLarge));
    report("no frame left", enter(kNothing));
    hide(kInner, false);
    report("inner resumes", resume());
    hide(kOuter, false);
    report("outer resumes", resume());
    report("nothing to resume", resume());
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

// As operating systems do: an enclave has these instructions when the outside has them.
void allow_more_instructions() {
    constexpr uint64_t kFsgsbase = 1 << 16, kOsxsave = 1 << 18;
    uint64_t cr4;
    asm volatile("mov %%cr4, %0; or %1, %0; mov %0, %%cr4" : "=&r"(cr4) : "r"(kFsgsbase | kOsxsave));
    // EENTER compares XFRM with it now.
    asm volatile("xsetbv" ::"c"(0), "a"(alcove::sgx::xcr0::X87 | alcove::sgx::xcr0::SSE), "d"(0));
}

void try_instructions() {
    static constexpr const char* kNames[] = {"cpuid",
                                             "getsec",
                                             "rdpmc",
                                             "sgdt",
                                             "sidt",
                                             "sldt",
                                             "str",
                                             "smsw",
                                             "in",
                                             "out",
                                             "outs",
                                             "ins",
                                             "int",
                                             "syscall",
                                             "sysenter",
                                             "vmfunc",
                                             "rsm",
                                             "mov ss",
                                             "int3",
                                             "own ud2",
                                             "hlt",
                                             "icebp",
                                             "far call",
                                             "far jmp",
                                             "far ret",
                                             "iret",
                                             "mov ds",
                                             "mov es",
                                             "mov fs",
                                             "mov gs",
                                             "pop fs",
                                             "pop gs",
                                             "lss",
                                             "lfs",
                                             "lgs",
                                             "eenter inside",
                                             "eresume inside",
                                             "far ret to itself",
                                             "iret to itself",
                                             "null ds",
                                             "popf of tf",
                                             "rdtsc",
                                             "rdrand",
                                             "rdseed",
                                             "xgetbv",
                                             "fsgsbase",
                                             "xsave",
                                             "clflush",
                                             "rdtscp",
                                             "pause",
                                             "iret of tf",
                                             "cli",
                                             "sti",
                                             "clts",
                                             "lgdt",
                                             "lidt",
                                             "lldt",
                                             "ltr",
                                             "lmsw",
                                             "mov from cr0",
                                             "mov to cr3",
                                             "mov to dr7",
                                             "rdmsr",
                                             "wrmsr",
                                             "invlpg",
                                             "swapgs",
                                             "xsetbv",
                                             "monitor",
                                             "mwait",
                                             "divide",
                                             "x87"};
    allow_more_instructions();
    for (uint64_t i = 0; i < sizeof kNames / sizeof *kNames; ++i)
        report_inside(kNames[i], kRun, i);
    asm volatile("fninit");  // what the last of them left
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

void report_inside(const char* name, uint64_t command, uint64_t argument, uint64_t tcs) {
    const uint64_t result = enter_at(tcs, command, argument);
    if (!was_exception()) return line(name, result);
    const uint64_t at_aep = last_exception().rip == address(run_enclave_aep) ? last_exception().rax : 0;
    print_text(name);
    print_exception();
    line(" rax", at_aep);
    enter_at(tcs, kNothing);
    line("  exitinfo", resume(tcs));
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
    try_interrupt_tables();
    try_memory();
    try_far_memory();
    try_nested_faults();
    try_instructions();
}

// SPDX-License-Identifier: Apache-2.0
//
// The smallest complete use of SGX: no operating system, one enclave, raw ENCLS and ENCLU. It finds its EPC
// by CPUID, builds the enclave of enclave.S, enters it, and prints what it found; each line is a test's.
//
// Memory: what long_mode.inc maps, opened for ring 3; EPC for ring 0 at kEpcWindow; the enclave at kEnclave,
// its pages mapped to EPC for ring 3.
#include "unikernel/unikernel.hpp"

#include "sgx/spec_cpuid.hpp"
#include "sgx/spec_enclave.hpp"
#include "support/bits.hpp"

using alcove::sgx::Encls;
using alcove::sgx::Enclu;
using alcove::sgx::kPageSize;
namespace sgx = alcove::sgx;

extern "C" {  // for the compiler
void* memset(void* to, int value, unsigned long count);
void* memcpy(void* to, const void* from, unsigned long count);
}

namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

constexpr uint64_t kTable = 7;         // present, writable, for ring 3
constexpr uint64_t kLarge = 7 | 0x80;  // and 2 MiB
constexpr uint64_t kPageUser = 7;

alignas(kPageSize) uint64_t window_pdpt[512], window_pd[512];
alignas(kPageSize) uint64_t enclave_pdpt[512], enclave_pd[512], enclave_pt[512], heap_pt[512];
alignas(kPageSize) uint64_t neighbour_pdpt[512], neighbour_pd[512], neighbour_pt[512];
alignas(kPageSize) uint8_t source_page[kPageSize];
alignas(kPageSize) sgx::EINITTOKEN token;
alignas(64) sgx::SECINFO secinfo;
alignas(32) sgx::PAGEINFO pageinfo;
alignas(16) uint64_t idt[2 * 256];
uint64_t epc;       // physical
uint64_t epc_size;  // bytes

void set_gate(unsigned vector, uint64_t handler, uint64_t dpl) {
    idt[2 * vector] =
        (handler & 0xffff) | 8 << 16 | (uint64_t{0x8e00} | dpl << 13) << 32 | (handler >> 16 & 0xffff) << 48;
    idt[2 * vector + 1] = handler >> 32;
}

void out(uint16_t port, uint8_t value) {
    asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

void set_up() {
    out(0x21, 0xff);  // nothing comes by the PICs, whose vectors would look like exceptions
    out(0xa1, 0xff);
    interrupt_table = {.limit = sizeof idt - 1, .base = address(idt)};
    for (unsigned vector = 0; vector < 32; ++vector)
        set_gate(vector, address(kernel_stubs) + 16 * vector, 0);
    set_gate(0x40, address(reinterpret_cast<void*>(&timer_interrupt)), 0);
    set_gate(0x80, address(reinterpret_cast<void*>(&return_to_kernel)), 3);
    set_gate(2, address(reinterpret_cast<void*>(&nmi_interrupt)), 0);
    asm volatile("lidt %0" ::"m"(interrupt_table));

    identity_pml4[0] |= kTable;
    identity_pdpt[0] |= kTable;
    for (unsigned i = 0; i < 512; ++i) {
        identity_pd[i] |= kTable;
        window_pd[i] = ((epc & ~(kGiB - 1)) + i * 2 * 1024 * 1024) | kLarge;
    }
    window_pdpt[0] = address(window_pd) | kTable;
    identity_pml4[1] = address(window_pdpt) | kTable;
    enclave_pd[0] = address(enclave_pt) | kTable;
    enclave_pd[kHeap >> 21] = address(heap_pt) | kTable;
    enclave_pdpt[0] = address(enclave_pd) | kTable;
    identity_pml4[2] = address(enclave_pdpt) | kTable;
    neighbour_pd[0] = address(neighbour_pt) | kTable;
    neighbour_pdpt[0] = address(neighbour_pd) | kTable;
    identity_pml4[4] = address(neighbour_pdpt) | kTable;
    reload_page_tables();
}

bool find_epc() {
    const auto section = cpuid(0x12, 2);
    if ((cpuid(7, 0).ebx & 4) == 0 || (section.eax & 0xf) != 1) return false;
    epc = (uint64_t{section.ebx & 0xfffff} << 32) | (section.eax & 0xffff'f000);
    epc_size = (uint64_t{section.edx & 0xfffff} << 32) | (section.ecx & 0xffff'f000);
    return true;
}

uint64_t create(const Place& place, uint64_t attributes) {
    auto* secs = reinterpret_cast<sgx::SECS*>(source_page);
    memset(secs, 0, kPageSize);
    secs->SIZE = enclave_layout.size;
    secs->BASEADDR = place.linear;
    secs->SSAFRAMESIZE = static_cast<uint32_t>(enclave_layout.frame_pages);
    secs->ATTRIBUTES.FLAGS = sgx::attributes::MODE64BIT | attributes;
    secs->ATTRIBUTES.XFRM = sgx::xcr0::X87 | sgx::xcr0::SSE;
    secinfo = {};
    pageinfo = {};
    pageinfo.SRCPGE = address(secs);
    pageinfo.SECINFO = address(&secinfo);
    return encls(leaf(Encls::ECREATE), address(&pageinfo), epc_page(place.epc), 0);
}

// EADD and sixteen EEXTENDs.
uint64_t add(const Place& place, uint64_t number) {
    const auto& page = enclave_layout.pages[number];
    const uint64_t epc_number = place.epc + number + 1;
    secinfo = {};
    secinfo.FLAGS = page.flags;
    pageinfo = {};
    pageinfo.LINADDR = place.linear + page.offset;
    pageinfo.SRCPGE = address(page.source);
    pageinfo.SECINFO = address(&secinfo);
    pageinfo.SECS = epc_page(place.epc);
    uint64_t failed = encls(leaf(Encls::EADD), address(&pageinfo), epc_page(epc_number), 0);
    for (uint64_t at = 0; at < kPageSize; at += sgx::kChunkSize)
        failed |= encls(leaf(Encls::EEXTEND), epc_page(place.epc), epc_page(epc_number) + at, 0);
    place.table[page.offset / kPageSize] = epc_address(epc_number) | kPageUser;
    return failed & kFaulted;
}

uint64_t add_all(const Place& place) {
    uint64_t failed = 0;
    for (uint64_t page = 0; page < enclave_layout.count; ++page)
        failed |= add(place, page);
    return failed;
}

// The command line begins with this word.
bool is_asked_to(const char* wanted, const StartInfo& info) {
    const auto* text = reinterpret_cast<const char*>(info.command_line);
    if (info.command_line == 0) return false;
    for (; *wanted != 0; ++wanted, ++text)
        if (*text != *wanted) return false;
    return *text == 0 || *text == ' ';
}

// What the command line's first word stands for; without one it is the trials.
struct Word {
    const char* text;
    void (*run)();
};
constexpr Word kWords[] = {
    {"count", [] {}},  // what there is to count has been done
    {"interrupts", try_interrupts},
    {"time", run_timing},
    {"compute", run_computing},
    {"sweep", run_sweeps},
    {"hold", hold},
    {"neighbours", run_neighbours},
    {"seal", show_sealing_key},
    {"devices", run_devices},
    {"disk", use_disk},
    {"processors", run_processors},
    {"crowd", run_crowd},
    {"cr3", load_epc_into_cr3},
    {"smi", send_smi},
};

void run_asked(const StartInfo& info) {
    for (const auto& word : kWords)
        if (is_asked_to(word.text, info)) return word.run();
    run_trials();
}

// Where launch control is open, the signer of this enclave is who may launch.
uint64_t init(const Place& place) {
    const bool is_open = (cpuid(sgx::cpuid::kStructuredFeatures, 0).ecx & sgx::cpuid::SGX_LC) != 0;
    for (uint32_t i = 0; is_open && i < sgx::msr::kHashCount; ++i)
        wrmsr(sgx::msr::IA32_SGXLEPUBKEYHASH0 + i, enclave_mrsigner[i]);
    return encls(leaf(Encls::EINIT), address(&enclave_sigstruct), epc_page(place.epc), address(&token));
}

constexpr Place kFirst{.linear = kEnclave, .epc = 0, .table = enclave_pt};

}  // namespace

void line(const char* name, uint64_t value) {
    print_text(name);
    print_text(" ");
    print_number(value);
    print_text("\n");
}

uint64_t epc_address(uint64_t number) {
    return epc + number * kPageSize;
}

uint64_t epc_page(uint64_t number) {
    return kEpcWindow + (epc & (kGiB - 1)) + number * kPageSize;
}

uint64_t* enclave_entry(uint64_t page) {
    return &enclave_pt[page];
}

uint64_t* heap_entry(uint64_t page) {
    return &heap_pt[page];
}

void reload_page_tables() {
    asm volatile("mov %0, %%cr3" ::"r"(address(identity_pml4)) : "memory");
}

Cpuid cpuid(uint32_t leaf, uint32_t subleaf) {
    Cpuid out{};
    asm volatile("cpuid"
                 : "=a"(out.eax), "=b"(out.ebx), "=c"(out.ecx), "=d"(out.edx)
                 : "a"(leaf), "c"(subleaf));
    return out;
}

void wrmsr(uint32_t index, uint64_t value) {
    asm volatile("wrmsr" ::"c"(index), "a"(static_cast<uint32_t>(value)),
                 "d"(static_cast<uint32_t>(value >> 32)));
}

uint64_t tcs_of(uint64_t thread) {
    constexpr uint64_t kMore = 16;  // enclave.S: MORE_THREADS
    return kEnclave + (thread == 0 ? 0 : kMore + 3 * (thread - 1)) * kPageSize;
}

uint64_t enter_at(uint64_t tcs, uint64_t command, uint64_t argument) {
    return run_enclave(static_cast<uint64_t>(Enclu::EENTER), tcs, command, argument);
}

uint64_t enter(uint64_t command, uint64_t argument) {
    return enter_at(kEnclave, command, argument);
}

uint64_t resume(uint64_t tcs) {
    return run_enclave(static_cast<uint64_t>(Enclu::ERESUME), tcs, 0, 0);
}

uint64_t build_at(const Place& place, uint64_t attributes) {
    uint64_t failed = create(place, attributes);
    if (failed == 0) failed = add_all(place);
    return failed != 0 ? failed : init(place);
}

uint64_t build_first(uint64_t attributes) {
    return build_at(kFirst, attributes);
}

uint64_t build_neighbour() {
    return build_at({.linear = kNeighbour, .epc = kEpcPages, .table = neighbour_pt}, sgx::attributes::DEBUG);
}

void build() {
    uint64_t failed = 0;
    for (uint64_t page = epc_size / kPageSize; page-- > 0;)  // a SECS is below what belongs to it
        failed |= encls(leaf(Encls::EREMOVE), 0, epc_page(page), 0);
    line("eremove", failed);
    line("ecreate", create(kFirst, 0));
    failed = 0;
    for (uint64_t page = 0; page < enclave_layout.count; ++page) {
        if (page == 1) mark();
        failed |= add(kFirst, page);
        if (page == 1) mark();
    }
    line("eadd", failed);
    line("einit", init(kFirst));
}

void build_heap(uint64_t count) {
    uint64_t failed = 0;
    for (uint64_t page = 0; page < count; ++page) {
        pageinfo = {};
        pageinfo.LINADDR = kEnclave + kHeap + page * kPageSize;
        pageinfo.SECS = epc_page(0);
        failed |= encls(leaf(Encls::EAUG), address(&pageinfo), epc_page(kEpcPages + page), 0);
        heap_pt[page] = epc_address(kEpcPages + page) | kPageUser;
    }
    line("eaug", failed);
    uint64_t pages[2] = {kEnclave + kHeap, count};
    line("accepted", enter(kAccept, address(pages)));
}

void unikernel_main(const StartInfo* info) {
    if (!find_epc()) {
        print_text("no epc\n");
        return;
    }
    set_up();
    // Alcove looks where the #UD handler is whenever something leaves the guest: between LIDT and the first
    // ENCLS something has to.
    line("epc", epc);
    line("epc size", epc_size);
    if (is_asked_to("stay", *info)) stay();
    if (is_asked_to("ballast", *info)) carry_ballast();
    if (is_asked_to("configuration", *info)) return show_configuration();
    build();
    enter(kAdd, 40);
    line("sum", enter(kAdd, 2));
    mark();
    enter(kNothing);
    mark();
    run_asked(*info);
    print_text("done\n");
}

void* memset(void* to, int value, unsigned long count) {
    asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
    return to;
}

void* memcpy(void* to, const void* from, unsigned long count) {
    void* result = to;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
    return result;
}

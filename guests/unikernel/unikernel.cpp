// SPDX-License-Identifier: Apache-2.0
//
// The smallest complete use of SGX: no operating system, one enclave, raw ENCLS and ENCLU. It finds its EPC
// by CPUID, builds the enclave of enclave.S, enters it, and prints what it found; each line is a test's.
//
// Memory: what long_mode.inc maps, opened for ring 3; EPC for ring 0 at kEpcWindow; the enclave at kEnclave,
// its pages mapped to EPC for ring 3.
#include "unikernel/unikernel.hpp"

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
alignas(kPageSize) uint64_t enclave_pdpt[512], enclave_pd[512], enclave_pt[512];
alignas(kPageSize) uint8_t source_page[kPageSize];
alignas(kPageSize) sgx::EINITTOKEN token;
alignas(64) sgx::SECINFO secinfo;
alignas(32) sgx::PAGEINFO pageinfo;
alignas(16) uint64_t idt[2 * 256];
uint64_t epc;       // physical
uint64_t epc_size;  // bytes

struct Cpuid {
    uint32_t eax, ebx, ecx, edx;
};
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
void set_gate(unsigned vector, uint64_t handler, uint64_t dpl) {
    idt[2 * vector] =
        (handler & 0xffff) | 8 << 16 | (uint64_t{0x8e00} | dpl << 13) << 32 | (handler >> 16 & 0xffff) << 48;
    idt[2 * vector + 1] = handler >> 32;
}

void set_up() {
    struct [[gnu::packed]] {
        uint16_t limit;
        uint64_t base;
    } pointer{256 * 16 - 1, address(idt)};
    for (unsigned vector = 0; vector < 32; ++vector)
        set_gate(vector, address(kernel_stubs) + 16 * vector, 0);
    set_gate(0x40, address(reinterpret_cast<void*>(&timer_interrupt)), 0);
    set_gate(0x80, address(reinterpret_cast<void*>(&return_to_kernel)), 3);
    asm volatile("lidt %0" ::"m"(pointer));

    identity_pml4[0] |= kTable;
    identity_pdpt[0] |= kTable;
    for (unsigned i = 0; i < 512; ++i) {
        identity_pd[i] |= kTable;
        window_pd[i] = ((epc & ~(kGiB - 1)) + i * 2 * 1024 * 1024) | kLarge;
    }
    window_pdpt[0] = address(window_pd) | kTable;
    identity_pml4[1] = address(window_pdpt) | kTable;
    enclave_pd[0] = address(enclave_pt) | kTable;
    enclave_pdpt[0] = address(enclave_pd) | kTable;
    identity_pml4[2] = address(enclave_pdpt) | kTable;
    reload_page_tables();
}

bool find_epc() {
    const auto section = cpuid(0x12, 2);
    if ((cpuid(7, 0).ebx & 4) == 0 || (section.eax & 0xf) != 1) return false;
    epc = (uint64_t{section.ebx & 0xfffff} << 32) | (section.eax & 0xffff'f000);
    epc_size = (uint64_t{section.edx & 0xfffff} << 32) | (section.ecx & 0xffff'f000);
    return true;
}

uint64_t create() {
    auto* secs = reinterpret_cast<sgx::SECS*>(source_page);
    memset(secs, 0, kPageSize);
    secs->SIZE = enclave_layout.size;
    secs->BASEADDR = kEnclave;
    secs->SSAFRAMESIZE = static_cast<uint32_t>(enclave_layout.frame_pages);
    secs->ATTRIBUTES.FLAGS = sgx::attributes::MODE64BIT;
    secs->ATTRIBUTES.XFRM = sgx::xcr0::X87 | sgx::xcr0::SSE;
    secinfo = {};
    pageinfo = {};
    pageinfo.SRCPGE = address(secs);
    pageinfo.SECINFO = address(&secinfo);
    return encls(leaf(Encls::ECREATE), address(&pageinfo), epc_page(0), 0);
}

// EADD and sixteen EEXTENDs.
uint64_t add(uint64_t number) {
    const auto& page = enclave_layout.pages[number];
    secinfo = {};
    secinfo.FLAGS = page.flags;
    pageinfo = {};
    pageinfo.LINADDR = kEnclave + page.offset;
    pageinfo.SRCPGE = address(page.source);
    pageinfo.SECINFO = address(&secinfo);
    pageinfo.SECS = epc_page(0);
    uint64_t failed = encls(leaf(Encls::EADD), address(&pageinfo), epc_page(number + 1), 0);
    for (uint64_t at = 0; at < kPageSize; at += sgx::kChunkSize)
        failed |= encls(leaf(Encls::EEXTEND), epc_page(0), epc_page(number + 1) + at, 0);
    enclave_pt[page.offset / kPageSize] = (epc + (number + 1) * kPageSize) | kPageUser;
    return failed & kFaulted;
}

// The command line begins with this word.
bool is_asked_to(const char* wanted, const StartInfo& info) {
    const auto* text = reinterpret_cast<const char*>(info.command_line);
    if (info.command_line == 0) return false;
    for (; *wanted != 0; ++wanted, ++text)
        if (*text != *wanted) return false;
    return *text == 0 || *text == ' ';
}

// Launch control is open: the signer of this enclave is who may launch.
uint64_t init() {
    for (uint32_t i = 0; i < 4; ++i)
        wrmsr(0x8c + i, enclave_mrsigner[i]);
    return encls(leaf(Encls::EINIT), address(&enclave_sigstruct), epc_page(0), address(&token));
}

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

void reload_page_tables() {
    asm volatile("mov %0, %%cr3" ::"r"(address(identity_pml4)) : "memory");
}

uint64_t enter(uint64_t command, uint64_t argument) {
    return run_enclave(static_cast<uint64_t>(Enclu::EENTER), kTcs, command, argument);
}

uint64_t resume() {
    return run_enclave(static_cast<uint64_t>(Enclu::ERESUME), kTcs, 0, 0);
}

void build() {
    uint64_t failed = 0;
    for (uint64_t page = 0; page < epc_size / kPageSize; ++page)
        failed |= encls(leaf(Encls::EREMOVE), 0, epc_page(page), 0);
    line("eremove", failed);
    line("ecreate", create() & kFaulted);
    failed = 0;
    for (uint64_t page = 0; page < enclave_layout.count; ++page) {
        if (page == 1) mark();
        failed |= add(page);
        if (page == 1) mark();
    }
    line("eadd", failed);
    line("einit", init());
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
    build();
    enter(kAdd, 40);
    line("sum", enter(kAdd, 2));
    mark();
    enter(kNothing);
    mark();
    run_trials();
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

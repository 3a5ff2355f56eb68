// SPDX-License-Identifier: Apache-2.0
//
// With `devices`: a kernel that uses what is not a processor to get at its enclave, an entropy device and
// what KVM itself writes to memory; and events and registers of its own that it hopes to see inside. Each
// line is compared by a test.
#include "unikernel/virtqueue.hpp"

using alcove::sgx::Encls;
using alcove::sgx::kPageSize;
namespace virtio = alcove::virtio;
namespace mmio = virtio::mmio;
namespace status = virtio::status;

namespace {

constexpr uint64_t kData = 1 + kDataPage;  // EPC pages
constexpr uint64_t kNeighboursData = kEpcPages + kData;

// virtio-rng by virtio-mmio (VIRTIO 1.2, 4.2.2), as much of its driver as this takes.
constexpr uint64_t kWindow = 0xd000'0000;
constexpr uint32_t kAcknowledged = status::ACKNOWLEDGE | status::DRIVER;
constexpr uint16_t kWrite = virtio::descriptor_flag::WRITE;

struct Rings {
    uint64_t descriptors, available, used;  // physical
};
alignas(kPageSize) volatile struct : Virtqueue { uint64_t buffer[8]; } ram;

void set(uint64_t at, uint32_t value) {
    *reinterpret_cast<volatile uint32_t*>(kWindow + at) = value;
}
void set_address(uint64_t at, uint64_t value) {
    set(at, static_cast<uint32_t>(value));
    set(at + 4, static_cast<uint32_t>(value >> 32));
}
uint32_t device_status() {
    return *reinterpret_cast<volatile uint32_t*>(kWindow + mmio::Status);
}

// Has the device fill `buffer` with so many bytes. NEEDS_RESET if that is what it says; else the used index.
uint64_t ask_device(const Rings& rings, uint64_t buffer) {
    ram.descriptors[0].address = buffer;
    ram.descriptors[0].length = sizeof ram.buffer;
    ram.descriptors[0].flags = kWrite;
    for (auto& word : ram.buffer)
        word = 0;
    for (auto& word : ram.used)
        word = 0;
    ram.available[1] = 1;
    set(mmio::Status, 0);
    set(mmio::Status, kAcknowledged);
    set(mmio::DriverFeaturesSel, 1);
    set(mmio::DriverFeatures, 1);  // VERSION_1
    set(mmio::Status, kAcknowledged | status::FEATURES_OK);
    set(mmio::QueueNum, 4);
    set_address(mmio::QueueDescLow, rings.descriptors);
    set_address(mmio::QueueDriverLow, rings.available);
    set_address(mmio::QueueDeviceLow, rings.used);
    set(mmio::QueueReady, 1);
    set(mmio::Status, kAcknowledged | status::FEATURES_OK | status::DRIVER_OK);
    set(mmio::QueueNotify, 0);
    return needs_reset_instead(ram, device_status) ? status::DEVICE_NEEDS_RESET : ram.used[1];
}

uint64_t bytes_used() {
    return ram.used[4];  // of the first element, its length's lower half
}
uint64_t is_filled() {
    uint64_t all = 0;
    for (const auto& word : ram.buffer)
        all |= word;
    return all != 0 ? 1 : 0;
}

void try_dma() {
    const Rings in_ram{.descriptors = address(ram.descriptors),
                       .available = address(ram.available),
                       .used = address(ram.used)};
    line("dma to ram", ask_device(in_ram, address(ram.buffer)));
    line("filled", is_filled());
    line("dma to epc", ask_device(in_ram, epc_address(kData)));
    line("it wrote", bytes_used());
    line("sum", enter(kSum));
    // What would be right, if the device could read it: the neighbour is open to debuggers.
    const uint64_t words[2] = {address(ram.buffer), sizeof ram.buffer | uint64_t{kWrite} << 32};
    for (uint64_t i = 0; i < 2; ++i)
        encls(leaf(Encls::EDBGWR), words[i], epc_page(kNeighboursData) + 8 * i, 0);
    Rings rings = in_ram;
    rings.descriptors = epc_address(kNeighboursData);
    line("descriptors in epc", ask_device(rings, address(ram.buffer)));
    line("filled", is_filled());
    encls(leaf(Encls::EDBGWR), uint64_t{1} << 16, epc_page(kNeighboursData), 0);  // index 1
    rings = in_ram;
    rings.available = epc_address(kNeighboursData);
    line("available ring in epc", ask_device(rings, address(ram.buffer)));
    line("filled", is_filled());
    rings = in_ram;
    rings.used = epc_address(kData);
    line("used ring in epc", ask_device(rings, address(ram.buffer)));
    set(mmio::Status, 0);
    line("sum", enter(kSum));
}

// Linux, Documentation/virt/kvm/x86/msr.rst.
constexpr uint32_t kKvmFirst = 0x4b56'4d00;
enum KvmMsr : uint32_t { WallClock, SystemTime, AsyncPfEn, StealTime, PvEoiEn };

template <uint32_t Index>
uint64_t write_msr(uint64_t value) {
    wrmsr(kKvmFirst + Index, value);
    return 0;
}

// Intel, "Flexible Return and Event Delivery (FRED) Specification".
constexpr uint32_t IA32_FRED_RSP0 = 0x1cc, IA32_FRED_CONFIG = 0x1d4;
uint64_t enable_fred(uint64_t) {
    constexpr uint64_t kFred = uint64_t{1} << 32;
    asm volatile("mov %%cr4, %%rax; or %0, %%rax; mov %%rax, %%cr4" ::"r"(kFred) : "rax", "memory");
    return 0;
}
uint64_t upper_half_of_cr4() {
    uint64_t cr4;
    asm volatile("mov %%cr4, %0" : "=r"(cr4));
    return cr4 >> 32;
}
uint64_t write_fred_register(uint64_t index) {
    wrmsr(static_cast<uint32_t>(index), 0);
    return 0;
}

void try_what_kvm_writes() {
    constexpr uint32_t kNotOffered = 1U << 4 | 1U << 5 | 1U << 9 | 1U << 10 | 1U << 14;
    line("async pf and pv tlb flush", cpuid(0x4000'0001, 0).eax & kNotOffered);
    line("fred", cpuid(7, 1).eax & 1U << 17);
    provoke(enable_fred, 0);  // #GP, but KVM's emulator, where it has to look, looks at the lower half only
    line("fred in cr4", upper_half_of_cr4());
    uint64_t written = 0;
    for (uint32_t index = IA32_FRED_RSP0; index <= IA32_FRED_CONFIG; ++index) {
        provoke(write_fred_register, index);
        written += last_exception().vector == 13 ? 0 : 1;
    }
    line("fred registers", written);
    report("enabling async pf", provoke(write_msr<AsyncPfEn>, address(ram.buffer) | 1));
    report("enabling steal time", provoke(write_msr<StealTime>, address(ram.buffer) | 1));
    provoke(write_msr<WallClock>, epc_address(kData));
    provoke(write_msr<SystemTime>, epc_address(kData) | 1);
    line("sum with its clock there", enter(kSum));
    provoke(write_msr<SystemTime>, 0);
    provoke(write_msr<PvEoiEn>, epc_address(kData) | 1);
    line("sum with pv eoi there", enter(kSum));
    provoke(write_msr<PvEoiEn>, 0);
}

void try_hypercalls() {
    constexpr uint32_t kAuth = 0x6874'7541;  // "Auth", of AuthenticAMD
    const uint64_t native = cpuid(0, 0).ebx == kAuth ? 1 : 0;
    report_inside("native hypercall", kHypercall, native);
    report_inside("other hypercall", kHypercall, 1 - native);
}

void try_debug_registers() {
    constexpr uint64_t kDataWritten = 0x3 | 1 << 16 | 2 << 18;  // DR7: breakpoint 0, 8 bytes
    constexpr uint64_t kExecuted = 0xc;                         // breakpoint 1
    asm volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr7" ::"r"(kEnclave + kDataPage * kPageSize),
                 "r"(kEnclave + 3 * kPageSize), "r"(kDataWritten | kExecuted));
    report_inside("breakpoints inside", kAdd, 0);
    asm volatile("mov %0, %%dr7" ::"r"(uint64_t{0}));
}

void try_single_step() {
    constexpr uint64_t kTf = 0x100;
    const uint64_t usual = user_rflags;
    user_rflags = usual | kTf;
    enter(kAdd, 1);
    user_rflags = usual;
    print_text("step over the enclave");
    print_exception();
    line(" bytes behind", last_exception().rip - address(run_enclave_aep));
    line("sum", enter(kSum));
}

}  // namespace

void run_devices() {
    line("neighbour", build_neighbour());
    try_dma();
    try_what_kvm_writes();
    try_hypercalls();
    try_debug_registers();
    try_single_step();
}

// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/private_pages.hpp"

#include <array>
#include <cstring>

#include "sgx/spec.hpp"
#include "support/endian.hpp"
#include "support/system.hpp"

namespace alcove::sgx_vm {

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kGdt = 0;
constexpr uint64_t kIdt = 1 * kPage;
constexpr uint64_t kStubs = 2 * kPage;
constexpr uint64_t kTss = 3 * kPage;  // linear; of each vCPU its own
constexpr uint64_t kStacks = 4 * kPage;
constexpr uint64_t kSharedPages = 3;
constexpr uint64_t kVcpuPages = 2 + PrivatePages::kTablePages;

// Ring 3's are where Linux has its own, so that code which looks at CS finds nothing new.
constexpr uint16_t kCode0 = 0x08;
constexpr uint16_t kTask = 0x10;  // two entries, loaded by KVM and never read
constexpr uint16_t kData3 = 0x2b;
constexpr uint16_t kCode3 = 0x33;
constexpr std::array<uint64_t, 7> kDescriptors = {
    0, 0x00af'9b00'0000'ffff, 0, 0, 0, 0x00cf'f300'0000'ffff, 0x00af'fb00'0000'ffff};
constexpr uint32_t kGdtLimit = sizeof kDescriptors - 1;

constexpr unsigned kVectors = 256;
constexpr uint32_t kStubGate = 0x8e00;  // present, of ring 0: INT n is #GP
constexpr uint64_t kStubSize = 8;
// out %al, $port; then a jump to itself, which is never reached.
constexpr uint8_t kPort = 0xe9;
constexpr std::array<uint8_t, kStubSize> kStub = {0xe6, kPort, 0xeb, 0xfe, 0xcc, 0xcc, 0xcc, 0xcc};

// SDM vol. 3A, "64-Bit TSS". Every vector has an interrupt stack, so that the frame is always in one place;
// an NMI or machine check may come on top of another event's.
constexpr uint64_t kTssIst1 = 36;
constexpr uint32_t kTssLimit = 103;
constexpr uint64_t kStackSize = kPage / 4;

constexpr uint8_t stack_of(unsigned vector) {
    switch (vector) {
        case 2:  // NMI
            return 2;
        case 18:  // machine check
            return 3;
        case 8:  // double fault
            return 4;
        default:
            return 1;
    }
}

kvm_segment code_segment() {
    kvm_segment segment{};
    segment.selector = kCode3;
    segment.limit = 0xffff'ffff;
    segment.type = 0xb;
    segment.present = segment.s = segment.l = segment.g = 1;
    segment.dpl = 3;
    return segment;
}

kvm_segment stack_segment() {
    kvm_segment segment{};
    segment.selector = kData3;
    segment.limit = 0xffff'ffff;
    segment.type = 0x3;
    segment.present = segment.s = segment.db = segment.g = 1;
    segment.dpl = 3;
    return segment;
}

}  // namespace

Result<PrivatePages> PrivatePages::create(memory::GuestAddress base, uint32_t vcpus) {
    const uint64_t size = (kSharedPages + vcpus * kVcpuPages) * kPage;
    const auto file = TRY(sys::memfd("sgx-private"));
    TRY(sys::truncate(file, size));
    auto mapping = TRY(Mapping::shared(file, size));
    PrivatePages pages(base, std::move(mapping));
    pages.fill_shared();
    for (uint32_t vcpu = 0; vcpu < vcpus; ++vcpu)
        pages.fill_tss(vcpu);
    return pages;
}

uint64_t PrivatePages::offset_of(uint32_t vcpu) const {
    return (kSharedPages + vcpu * kVcpuPages) * kPage;
}

void PrivatePages::fill_shared() {
    std::memcpy(mapping_.data() + kGdt, kDescriptors.data(), sizeof kDescriptors);
    for (unsigned vector = 0; vector < kVectors; ++vector) {
        std::memcpy(mapping_.data() + kStubs + vector * kStubSize, kStub.data(), kStubSize);
        const uint64_t stub = kOwnBase + kStubs + vector * kStubSize;
        const std::array<Le32, 4> gate = {
            static_cast<uint32_t>(uint64_t{kCode0} << 16 | (stub & 0xffff)),
            static_cast<uint32_t>((stub & 0xffff'0000) | kStubGate | stack_of(vector)),
            static_cast<uint32_t>(stub >> 32), 0U};
        std::memcpy(mapping_.data() + kIdt + vector * sizeof gate, gate.data(), sizeof gate);
    }
}

void PrivatePages::fill_tss(uint32_t vcpu) {
    for (uint64_t stack = 1; stack <= 4; ++stack) {
        const Le64 top(kOwnBase + kStacks + stack * kStackSize);
        std::memcpy(mapping_.data() + offset_of(vcpu) + kTssIst1 + 8 * (stack - 1), &top, sizeof top);
    }
}

ShadowTables PrivatePages::make_tables(uint32_t vcpu) const {
    const uint64_t own = offset_of(vcpu);
    const uint64_t tables = own + 2 * kPage;
    const auto at = [&](uint64_t offset) { return memory::GuestAddress(base_.value() + offset); };
    return ShadowTables(mapping_.mutable_bytes().subspan(tables, kTablePages * kPage), at(tables),
                        {{.page = at(kGdt)},
                         {.page = at(kIdt)},
                         {.page = at(kStubs), .executable = true},
                         {.page = at(own), .writable = true},
                         {.page = at(own + kPage), .writable = true}});
}

std::optional<PrivatePages::StackedEvent> PrivatePages::read_stack(uint32_t vcpu, uint64_t rsp) const {
    const uint64_t offset = rsp - kOwnBase - kStacks;
    if (offset >= kPage) return std::nullopt;
    const ByteView stacks = mapping_.bytes().subspan(offset_of(vcpu) + kPage, kPage);
    const uint64_t pushed = kStackSize - offset % kStackSize;
    const bool has_error_code = pushed == sizeof(InterruptFrame) + sizeof(uint64_t);
    if (!has_error_code && pushed != sizeof(InterruptFrame)) return std::nullopt;
    StackedEvent event{};
    if (has_error_code) event.error_code = static_cast<uint32_t>(*read_object<Le64>(stacks, offset));
    event.frame = *read_object<InterruptFrame>(stacks, offset + (has_error_code ? sizeof(uint64_t) : 0));
    return event;
}

void PrivatePages::put_environment(kvm_sregs& sregs) {
    sregs.gdt.base = kOwnBase + kGdt;
    sregs.gdt.limit = kGdtLimit;
    sregs.idt.base = kOwnBase + kIdt;
    sregs.idt.limit = static_cast<uint16_t>(kPage - 1);
    sregs.tr = {};
    sregs.tr.base = kOwnBase + kTss;
    sregs.tr.limit = kTssLimit;
    sregs.tr.selector = kTask;
    sregs.tr.type = 0xb;
    sregs.tr.present = 1;
    sregs.ldt = {};
    sregs.ldt.unusable = 1;
    sregs.cs = code_segment();
    sregs.ss = stack_segment();
}

std::optional<uint8_t> PrivatePages::vector_at(uint64_t rip) {
    const uint64_t offset = rip - kOwnBase - kStubs;
    if (offset >= kVectors * kStubSize) return std::nullopt;
    return static_cast<uint8_t>(offset / kStubSize);
}

}  // namespace alcove::sgx_vm

// SPDX-License-Identifier: Apache-2.0
#include "cpu/initial_state.hpp"

#include <cstring>

#include "support/bits.hpp"
#include "support/endian.hpp"

namespace alcove::cpu {

namespace {

// SDM vol. 3A, "Control Registers" and "IA32_EFER".
constexpr uint64_t kCr0ProtectedMode = bit<uint64_t>(0);
constexpr uint64_t kCr0ExtensionType = bit<uint64_t>(4);
constexpr uint64_t kCr0Paging = bit<uint64_t>(31);
constexpr uint64_t kCr4PhysicalAddressExtension = bit<uint64_t>(5);
constexpr uint64_t kEferLongModeEnable = bit<uint64_t>(8);
constexpr uint64_t kEferLongModeActive = bit<uint64_t>(10);
constexpr uint64_t kRflagsReserved = bit<uint64_t>(1);

constexpr uint32_t kMsrIa32MiscEnable = 0x1a0;
constexpr uint64_t kMiscEnableFastString = bit<uint64_t>(0);

// SDM vol. 3A, "Local Vector Table": delivery mode in bits 10:8.
constexpr uint32_t kLvtLint0 = 0x350;
constexpr uint32_t kLvtLint1 = 0x360;
constexpr uint32_t kDeliverNmi = 4U << 8;
constexpr uint32_t kDeliverExtInt = 7U << 8;

kvm_segment flat_segment(uint16_t selector, uint8_t type, bool long_mode) {
    kvm_segment segment{};
    segment.limit = 0xffff'ffff;
    segment.selector = selector;
    segment.type = type;
    segment.present = 1;
    segment.s = 1;
    segment.g = 1;
    segment.l = long_mode ? 1 : 0;
    segment.db = long_mode ? 0 : 1;
    return segment;
}

constexpr uint8_t kTypeCode = 0xb;  // execute, read, accessed
constexpr uint8_t kTypeData = 0x3;  // read, write, accessed

}  // namespace

Result<void> set_entry_state(const kvm::Vcpu& vcpu, const boot::EntryState& entry) {
    const bool long_mode = entry.mode == boot::EntryMode::Linux64;
    auto special = TRY(vcpu.special_registers());
    special.cs = flat_segment(boot::kBootCodeSelector, kTypeCode, long_mode);
    const auto data = flat_segment(boot::kBootDataSelector, kTypeData, false);
    special.ds = special.es = special.fs = special.gs = special.ss = data;
    special.gdt.base = entry.gdt_address;
    special.gdt.limit = entry.gdt_limit;
    special.idt.base = 0;
    special.idt.limit = 0;
    special.cr0 = kCr0ProtectedMode | kCr0ExtensionType;
    special.cr4 = 0;
    special.efer = 0;
    if (long_mode) {
        special.cr0 |= kCr0Paging;
        special.cr3 = entry.page_table;
        special.cr4 = kCr4PhysicalAddressExtension;
        special.efer = kEferLongModeEnable | kEferLongModeActive;
    }
    TRY(vcpu.set_special_registers(special));

    kvm_regs registers{};
    registers.rip = entry.instruction_pointer;
    registers.rflags = kRflagsReserved;
    if (long_mode)
        registers.rsi = entry.argument;
    else
        registers.rbx = entry.argument;
    return vcpu.set_registers(registers);
}

Result<void> set_platform_state(const kvm::Vcpu& vcpu) {
    auto lapic = TRY(vcpu.lapic());
    const auto set_lvt = [&](uint32_t offset, uint32_t delivery) {
        const Le32 value(delivery);
        std::memcpy(lapic.regs + offset, &value, sizeof value);
    };
    set_lvt(kLvtLint0, kDeliverExtInt);
    set_lvt(kLvtLint1, kDeliverNmi);
    TRY(vcpu.set_lapic(lapic));
    kvm_fpu fpu{};
    fpu.fcw = 0x37f;
    fpu.mxcsr = 0x1f80;
    TRY(vcpu.set_fpu(fpu));
    return vcpu.set_msr(kMsrIa32MiscEnable, kMiscEnableFastString);
}

}  // namespace alcove::cpu

// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/interrupt_frame.hpp"

#include "support/bits.hpp"

namespace alcove::sgx_vm {

namespace {

constexpr Requester kProcessor{.cpl = 0, .ac = true};  // its own accesses are those of ring 0, without SMAP

struct Gate {
    Le16 offset_low;
    Le16 selector;
    Le16 attributes;
    Le16 offset_middle;
    Le32 offset_high;
    Le32 reserved;
};
static_assert(sizeof(Gate) == 16);
using GateType = Field<uint16_t, 11, 8>;
constexpr uint16_t kGatePresent = 0x8000;
constexpr uint16_t kInterruptGate = 0xe;
constexpr uint16_t kTrapGate = 0xf;

// A code or data segment's descriptor.
using LimitLow = Field<uint64_t, 15, 0>;
using BaseLow = Field<uint64_t, 39, 16>;
using Type = Field<uint64_t, 43, 40>;
using S = Field<uint64_t, 44, 44>;
using Dpl = Field<uint64_t, 46, 45>;
using Present = Field<uint64_t, 47, 47>;
using LimitHigh = Field<uint64_t, 51, 48>;
using Avl = Field<uint64_t, 52, 52>;
using L = Field<uint64_t, 53, 53>;
using Db = Field<uint64_t, 54, 54>;
using G = Field<uint64_t, 55, 55>;
using BaseHigh = Field<uint64_t, 63, 56>;
constexpr uint8_t kTypeAccessed = 1;
constexpr uint8_t kTypeCode = 8;
constexpr uint16_t kLocalTable = 4;  // of a selector: TI

kvm_segment segment_of(uint16_t selector, uint64_t descriptor) {
    kvm_segment segment{};
    segment.selector = selector;
    segment.base = BaseHigh::get(descriptor) << 24 | BaseLow::get(descriptor);
    segment.limit = static_cast<uint32_t>(LimitHigh::get(descriptor) << 16 | LimitLow::get(descriptor));
    segment.type = static_cast<uint8_t>(Type::get(descriptor) | kTypeAccessed);
    segment.s = static_cast<uint8_t>(S::get(descriptor));
    segment.dpl = static_cast<uint8_t>(Dpl::get(descriptor));
    segment.present = static_cast<uint8_t>(Present::get(descriptor));
    segment.avl = static_cast<uint8_t>(Avl::get(descriptor));
    segment.l = static_cast<uint8_t>(L::get(descriptor));
    segment.db = static_cast<uint8_t>(Db::get(descriptor));
    segment.g = static_cast<uint8_t>(G::get(descriptor));
    if (segment.g != 0) segment.limit = segment.limit << 12 | 0xfff;
    return segment;
}

std::optional<kvm_segment> load(const GuestPageTables& tables, const kvm_sregs& sregs, uint16_t selector) {
    const bool local = (selector & kLocalTable) != 0;
    const uint64_t base = local ? sregs.ldt.base : sregs.gdt.base;
    const uint64_t limit = local ? sregs.ldt.limit : sregs.gdt.limit;
    const uint64_t offset = selector & ~uint64_t{7};
    if (offset == 0 || offset + 7 > limit) return std::nullopt;
    Le64 descriptor;
    const MutableByteView bytes(reinterpret_cast<uint8_t*>(&descriptor), sizeof descriptor);
    if (!tables.read(base + offset, bytes, sgx::Access::Read, kProcessor)) return std::nullopt;
    const auto segment = segment_of(selector, descriptor);
    if (segment.present == 0 || segment.s == 0) return std::nullopt;
    return segment;
}

}  // namespace

std::optional<uint64_t> handler_of(const GuestPageTables& tables, const kvm_dtable& idt, uint8_t vector) {
    const uint64_t offset = uint64_t{vector} * sizeof(Gate);
    if (offset + sizeof(Gate) - 1 > idt.limit) return std::nullopt;
    Gate gate;
    const MutableByteView bytes(reinterpret_cast<uint8_t*>(&gate), sizeof gate);
    if (!tables.read(idt.base + offset, bytes, sgx::Access::Read, kProcessor)) return std::nullopt;
    const uint16_t type = GateType::get(gate.attributes);
    if ((gate.attributes & kGatePresent) == 0 || (type != kInterruptGate && type != kTrapGate))
        return std::nullopt;
    return uint64_t{gate.offset_high} << 32 | uint64_t{gate.offset_middle} << 16 | uint64_t{gate.offset_low};
}

std::optional<InterruptFrame> read_frame(const GuestPageTables& tables, uint64_t rsp) {
    InterruptFrame frame;
    const MutableByteView bytes(reinterpret_cast<uint8_t*>(&frame), sizeof frame);
    if (!tables.read(rsp, bytes, sgx::Access::Read, kProcessor)) return std::nullopt;
    return frame;
}

std::optional<kvm_sregs> unwind(const GuestPageTables& tables, const kvm_sregs& in_handler,
                                const InterruptFrame& frame) {
    kvm_sregs before = in_handler;
    const auto cs = static_cast<uint16_t>(frame.cs);
    const auto ss = static_cast<uint16_t>(frame.ss);
    before.interrupt_bitmap[0] = before.interrupt_bitmap[1] = 0;
    before.interrupt_bitmap[2] = before.interrupt_bitmap[3] = 0;
    if (cs == in_handler.cs.selector) {  // no change of rings: only a selector was pushed
        before.ss.selector = ss;
        return before;
    }
    const auto code = load(tables, in_handler, cs);
    if (!code || (code->type & kTypeCode) == 0 || code->dpl != frame.cpl()) return std::nullopt;
    before.cs = *code;
    if ((ss & ~3) == 0) {  // null, which 64-bit code may have outside of ring 3
        if (frame.cpl() == 3) return std::nullopt;
        before.ss = {};
        before.ss.selector = ss;
        before.ss.dpl = frame.cpl();
        before.ss.unusable = 1;
        return before;
    }
    const auto stack = load(tables, in_handler, ss);
    if (!stack || (stack->type & kTypeCode) != 0 || stack->dpl != frame.cpl()) return std::nullopt;
    before.ss = *stack;
    return before;
}

}  // namespace alcove::sgx_vm

// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/vcpu_state.hpp"

#include "sgx_vm/paging_spec.hpp"

namespace alcove::sgx_vm {

namespace {

// The bits of sgx::Segment::rights, in VMX's order.
using Type = Field<uint16_t, 3, 0>;
using S = Field<uint16_t, 4, 4>;
using Dpl = Field<uint16_t, 6, 5>;
using Present = Field<uint16_t, 7, 7>;
using Avl = Field<uint16_t, 12, 12>;
using L = Field<uint16_t, 13, 13>;
using Db = Field<uint16_t, 14, 14>;
using G = Field<uint16_t, 15, 15>;

sgx::Segment from_kvm(const kvm_segment& segment) {
    uint16_t rights = Type::put(0, segment.type);
    rights = S::put(rights, segment.s);
    rights = Dpl::put(rights, segment.dpl);
    rights = Present::put(rights, segment.present);
    rights = Avl::put(rights, segment.avl);
    rights = L::put(rights, segment.l);
    rights = Db::put(rights, segment.db);
    rights = G::put(rights, segment.g);
    return {.selector = segment.selector, .base = segment.base, .limit = segment.limit, .rights = rights};
}

kvm_segment to_kvm(const sgx::Segment& segment) {
    kvm_segment result{};
    result.selector = segment.selector;
    result.base = segment.base;
    result.limit = segment.limit;
    result.type = static_cast<uint8_t>(Type::get(segment.rights));
    result.s = static_cast<uint8_t>(S::get(segment.rights));
    result.dpl = static_cast<uint8_t>(Dpl::get(segment.rights));
    result.present = static_cast<uint8_t>(Present::get(segment.rights));
    result.avl = static_cast<uint8_t>(Avl::get(segment.rights));
    result.l = static_cast<uint8_t>(L::get(segment.rights));
    result.db = static_cast<uint8_t>(Db::get(segment.rights));
    result.g = static_cast<uint8_t>(G::get(segment.rights));
    result.unusable = result.present != 0 ? 0 : 1;
    return result;
}

}  // namespace

void VcpuState::take_general(const kvm_regs& general, const InterruptFrame& frame) {
    registers_.rax = general.rax;
    registers_.rcx = general.rcx;
    registers_.rdx = general.rdx;
    registers_.rbx = general.rbx;
    registers_.rbp = general.rbp;
    registers_.rsi = general.rsi;
    registers_.rdi = general.rdi;
    registers_.r8_r15 = {general.r8,  general.r9,  general.r10, general.r11,
                         general.r12, general.r13, general.r14, general.r15};
    registers_.rsp = frame.rsp;
    registers_.rip = frame.rip;
    registers_.rflags = frame.rflags;
}

void VcpuState::take_outside(const kvm_regs& general, const kvm_sregs& undone, const InterruptFrame& frame,
                             uint64_t xcr0) {
    take_general(general, frame);
    registers_.rflags &= ~sgx::rflags::RF;  // a fault's; the instruction will have been executed
    registers_.fs = from_kvm(undone.fs);
    registers_.gs = from_kvm(undone.gs);
    registers_.xcr0 = xcr0;
    outside_ = undone;
}

void VcpuState::take_inside(const kvm_regs& general, const kvm_sregs& special, const InterruptFrame& frame) {
    take_general(general, frame);
    registers_.fs = from_kvm(special.fs);
    registers_.gs = from_kvm(special.gs);
}

kvm_regs VcpuState::general() const {
    kvm_regs general{};
    general.rax = registers_.rax;
    general.rcx = registers_.rcx;
    general.rdx = registers_.rdx;
    general.rbx = registers_.rbx;
    general.rbp = registers_.rbp;
    general.rsp = registers_.rsp;
    general.rsi = registers_.rsi;
    general.rdi = registers_.rdi;
    const auto& high = registers_.r8_r15;
    general.r8 = high[0];
    general.r9 = high[1];
    general.r10 = high[2];
    general.r11 = high[3];
    general.r12 = high[4];
    general.r13 = high[5];
    general.r14 = high[6];
    general.r15 = high[7];
    general.rip = registers_.rip;
    general.rflags = registers_.rflags;
    return general;
}

kvm_sregs VcpuState::outside() const {
    kvm_sregs special = outside_;
    special.fs = to_kvm(registers_.fs);
    special.gs = to_kvm(registers_.gs);
    return special;
}

PagingMode VcpuState::paging_mode(const kvm_sregs& special) {
    return {.cr3 = special.cr3,
            .write_protect = (special.cr0 & paging::cr0::WP) != 0,
            .no_execute = (special.efer & paging::efer::NXE) != 0,
            .smep = (special.cr4 & paging::cr4::SMEP) != 0,
            .smap = (special.cr4 & paging::cr4::SMAP) != 0};
}

Requester VcpuState::requester() const {
    return {.cpl = inside_ ? uint8_t{3} : outside_.ss.dpl, .ac = (registers_.rflags & sgx::rflags::AC) != 0};
}

sgx::ProcessorMode VcpuState::mode() const {
    return {.protected_mode = (outside_.cr0 & paging::cr0::PE) != 0,
            .paging = (outside_.cr0 & paging::cr0::PG) != 0,
            .task_switched = (outside_.cr0 & paging::cr0::TS) != 0,
            .numeric_error = (outside_.cr0 & paging::cr0::NE) != 0,
            .osfxsr = (outside_.cr4 & paging::cr4::OSFXSR) != 0,
            .osxsave = (outside_.cr4 & paging::cr4::OSXSAVE) != 0,
            .long_mode_64 = (outside_.efer & paging::efer::LMA) != 0 && outside_.cs.l != 0,
            .smm = false,
            .cpl = requester().cpl};
}

sgx::Outcome<memory::GuestAddress> VcpuState::translate(uint64_t linear, sgx::Access access) {
    const auto walk = TRY_LEAF(tables().walk(linear, access, requester()));
    return walk.address;
}

sgx::Outcome<void> VcpuState::read(uint64_t linear, MutableByteView into) {
    return tables().read(linear, into, sgx::Access::Read, requester());
}

sgx::Outcome<void> VcpuState::write(uint64_t linear, ByteView from) {
    return tables().write(linear, from, requester());
}

}  // namespace alcove::sgx_vm

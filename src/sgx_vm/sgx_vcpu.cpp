// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/sgx_vcpu.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "sgx/instruction.hpp"
#include "sgx_vm/paging_spec.hpp"
#include "sgx_vm/trapped_msrs.hpp"

namespace alcove::sgx_vm {

namespace {

using sgx::Access;

bool has_page_tables(const kvm_sregs& special) {
    return (special.cr0 & paging::cr0::PG) != 0 && (special.efer & paging::efer::LMA) != 0;
}

// Instruction bytes outside of enclaves; as many as can be executed.
size_t fetch(const GuestPageTables& tables, uint64_t rip, Requester who, MutableByteView into) {
    size_t done = 0;
    while (done < into.size()) {
        const uint64_t linear = rip + done;
        const size_t part = std::min<size_t>(into.size() - done, sgx::kPageSize - linear % sgx::kPageSize);
        if (!tables.read(linear, into.subspan(done, part), Access::Execute, who)) break;
        done += part;
    }
    return done;
}

}  // namespace

SgxVcpu::SgxVcpu(kvm::Vcpu& vcpu, uint32_t index, const VcpuParts& parts)
    : vcpu_(vcpu),
      index_(index),
      parts_(parts),
      processor_(index, parts.engine.features()),
      state_(vcpu, parts_.physical),
      memory_(parts.pages.make_tables(index), parts_.engine, parts.ones),
      msrs_(parts.sysenter) {
    parts.mappings.add(memory_);
}

Result<std::unique_ptr<SgxVcpu>> SgxVcpu::create(kvm::Vcpu& vcpu, uint32_t index, const VcpuParts& parts) {
    TRY(kvm::ViewSwitch::prepare(vcpu, parts.nowhere));
    TRY(vcpu.enforce_paravirtual_features());
    vcpu.synchronize_registers();
    return std::unique_ptr<SgxVcpu>(new SgxVcpu(vcpu, index, parts));
}

Result<cpu::ExitHandler::Answer> SgxVcpu::handle() {
    if (processor_.is_inside()) return handle_inside();
    const auto& special = vcpu_.synchronized().sregs;
    const auto& area = vcpu_.run_area();
    // A breakpoint that has just been hit is where it should be.
    const bool is_sprung = area.exit_reason == KVM_EXIT_DEBUG && trap_.is_sprung(area.debug.arch);
    if (!is_sprung && has_page_tables(special)) TRY(trap_.follow(vcpu_, tables_of(special), special.idt));
    switch (area.exit_reason) {
        case KVM_EXIT_DEBUG:
            return handle_debug();
        case KVM_EXIT_X86_RDMSR:
            handle_rdmsr();
            return Answer::Done;
        case KVM_EXIT_X86_WRMSR:
            handle_wrmsr();
            return Answer::Done;
        default:
            return Answer::NotMine;
    }
}

Result<cpu::ExitHandler::Answer> SgxVcpu::handle_debug() {
    const auto debug = vcpu_.run_area().debug.arch;
    if (!trap_.is_sprung(debug)) {
        const bool is_nobodys = TRY(is_step_of_kvms(debug));
        if (!is_nobodys) TRY(hand_back_debug_exception(debug));
        return Answer::Done;
    }
    const bool was_ours = TRY(handle_undefined_opcode());
    if (!was_ours) {  // past the breakpoint, into the handler
        vcpu_.synchronized().regs.rflags |= sgx::rflags::RF;
        vcpu_.run_area().kvm_dirty_regs |= KVM_SYNC_X86_REGS;
    }
    return Answer::Done;
}

Result<bool> SgxVcpu::handle_undefined_opcode() {
    const auto general = vcpu_.synchronized().regs;
    const auto special = vcpu_.synchronized().sregs;
    const auto tables = tables_of(special);
    const auto frame = read_frame(tables, general.rsp);
    if (!frame) return false;
    const auto ours = std::exchange(undefined_opcode_at_, std::nullopt);
    if (ours == frame->rip) return false;
    const auto undone = unwind(tables, special, *frame);
    if (!undone) return false;
    std::array<uint8_t, sgx::kMaxInstructionLength> bytes;
    const size_t count = fetch(tables, frame->rip, {.cpl = frame->cpl()}, bytes);
    const auto decoded = sgx::decode(ByteView(bytes).first(count), undone->cs.l != 0);
    if (!decoded) return false;

    const bool is_enclu = decoded->instruction == sgx::Instruction::ENCLU;
    xcr0_ = is_enclu ? TRY(vcpu_.xcr0()) : 0;
    state_.take_outside(general, *undone, *frame, xcr0_);
    state_.set_instruction_length(decoded->length);
    auto outcome =
        is_enclu ? parts_.engine.enclu(processor_, state_) : parts_.engine.encls(processor_, state_);
    TRY(finish_outside(std::move(outcome)));
    return true;
}

Result<void> SgxVcpu::finish_outside(sgx::Outcome<void> outcome) {
    if (const auto* error = outcome.ended_with<Error>()) return Failure{*error};
    if (const auto* exception = outcome.ended_with<sgx::Exception>()) {
        auto general = state_.general();
        general.rflags |= sgx::rflags::RF;
        auto special = state_.outside();
        if (exception->vector == sgx::vector::PF) special.cr2 = exception->address;
        TRY(set_view(kvm::View::Ordinary, delivery_of(*exception)));
        load(general, special);
        return {};
    }
    if (processor_.is_inside()) return enter_view();
    load(state_.general(), state_.outside());
    return {};
}

// What is loaded by the next run.
void SgxVcpu::load(const kvm_regs& general, const kvm_sregs& special) {
    auto& now = vcpu_.synchronized();
    now.regs = general;
    auto& dirty = vcpu_.run_area().kvm_dirty_regs;
    dirty |= KVM_SYNC_X86_REGS;
    if (std::memcmp(&now.sregs, &special, sizeof special) == 0) return;
    // The local APIC's, which live on whatever we do.
    const auto cr8 = now.sregs.cr8;
    const auto apic_base = now.sregs.apic_base;
    now.sregs = special;
    now.sregs.cr8 = cr8;
    now.sregs.apic_base = apic_base;
    std::fill(std::begin(now.sregs.interrupt_bitmap), std::end(now.sregs.interrupt_bitmap), 0);
    dirty |= KVM_SYNC_X86_SREGS;
}

Result<void> SgxVcpu::set_view(kvm::View view, const kvm::Delivery& delivery) {
    if (delivery.kind == kvm::Delivery::Kind::Exception && delivery.vector == sgx::vector::UD)
        undefined_opcode_at_ = state_.registers().rip;
    return kvm::ViewSwitch::set(vcpu_, view, delivery);
}

kvm::Delivery SgxVcpu::delivery_of(const sgx::Exception& exception) {
    // KVM takes an exception of this vector for that of an INT3 where RIP is, and goes on behind it. As an
    // interrupt of the same vector it leaves RIP at the AEP.
    if (exception.vector == sgx::vector::BP)
        return {.kind = kvm::Delivery::Kind::Interrupt, .vector = exception.vector};
    kvm::Delivery delivery{.kind = kvm::Delivery::Kind::Exception, .vector = exception.vector};
    // SDM vol. 3A, "Exceptions and Interrupts" (table): those with an error code.
    constexpr uint64_t kWithErrorCode = 1U << 8 | 0x1fU << 10 | 1U << 17 | 1U << 21 | 1U << 29 | 1U << 30;
    if ((kWithErrorCode >> exception.vector & 1) != 0) delivery.error_code = exception.error_code;
    return delivery;
}

// A #DB that the guest made itself (single step, ICEBP): we only saw it because our breakpoint is set.
Result<void> SgxVcpu::hand_back_debug_exception(const kvm_debug_exit_arch& debug) {
    TRY(store_dr6(debug.dr6));
    return kvm::ViewSwitch::set(
        vcpu_, kvm::View::Ordinary,
        {.kind = kvm::Delivery::Kind::Exception, .vector = sgx::vector::DB, .error_code = {}});
}

// KVM-AMD single-steps a guest to find the moment at which an NMI may follow another one, and because our
// breakpoint is set it shows us that step as if it were the guest's: but TF is clear, and the NMI is waiting.
Result<bool> SgxVcpu::is_step_of_kvms(const kvm_debug_exit_arch& debug) const {
    const bool guest_steps = (vcpu_.synchronized().regs.rflags & sgx::rflags::TF) != 0;
    if ((debug.dr6 & kDr6Bs) == 0 || guest_steps) return false;
    const auto events = TRY(vcpu_.events());
    return events.nmi.pending != 0;
}

Result<void> SgxVcpu::store_dr6(uint64_t value) {
    auto registers = TRY(vcpu_.debug_registers());
    registers.dr6 = value;
    return vcpu_.set_debug_registers(registers);
}

void SgxVcpu::handle_rdmsr() {
    auto& request = vcpu_.run_area().msr;
    const auto value = processor_.read_msr(request.index);
    request.error = value ? 0 : 1;  // #GP(0)
    request.data = value.value_or(0);
}

void SgxVcpu::handle_wrmsr() {
    auto& request = vcpu_.run_area().msr;
    const bool written = request.index == kLstar ? vcpu_.set_msr(kLstar, request.data).has_value()
                                                 : processor_.write_msr(request.index, request.data);
    request.error = written ? 0 : 1;
}

}  // namespace alcove::sgx_vm

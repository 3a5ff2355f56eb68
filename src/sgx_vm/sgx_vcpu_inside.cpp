// SPDX-License-Identifier: Apache-2.0
//
// SgxVcpu while its vCPU is in an enclave.
#include <array>
#include <cstdio>

#include "sgx/illegal_instruction.hpp"
#include "sgx/instruction.hpp"
#include "sgx_vm/paging_spec.hpp"
#include "sgx_vm/sgx_vcpu.hpp"

namespace alcove::sgx_vm {

namespace {

using sgx::EventKind;
using Kind = kvm::Delivery::Kind;

constexpr uint8_t kNmi = 2;
constexpr uint8_t kMachineCheck = 18;
constexpr uint8_t kFirstForInterrupts = 16;  // of the local APIC
constexpr uint8_t kFirstFree = 32;           // no exception has it

// The local APIC's registers as KVM gives them: in-service bits.
constexpr size_t kLapicIsr = 0x100;

constexpr std::array<uint8_t, 2> kRsm = {0x0f, 0xaa};

// As if an event had left it: for exits that ran no stub.
InterruptFrame frame_of(const kvm_regs& general) {
    return {.rip = general.rip, .cs = 3, .rflags = general.rflags, .rsp = general.rsp, .ss = 3};
}

Failure left_ring_3(uint64_t rip) {
    std::array<char, 96> text{};
    std::snprintf(text.data(), text.size(),
                  "the protected view ran code of ring 0 that is not Alcove's, at 0x%llx",
                  static_cast<unsigned long long>(rip));
    return fail(ErrorCode::VcpuFailed, text.data());
}

// By all that is known, an event came twice: the second one lies over the first on the stack.
Failure interrupted_ring_0(uint8_t vector, const InterruptFrame& frame) {
    std::array<char, 128> text{};
    std::snprintf(text.data(), text.size(),
                  "vector %u interrupted code of ring 0 inside, at 0x%llx, flags 0x%llx", vector,
                  static_cast<unsigned long long>(frame.rip), static_cast<unsigned long long>(frame.rflags));
    return fail(ErrorCode::VcpuFailed, text.data());
}

}  // namespace

Result<cpu::ExitHandler::Answer> SgxVcpu::handle_inside() {
    const uint64_t rip = vcpu_.synchronized().regs.rip;
    const auto stub = PrivatePages::vector_at(rip);
    switch (vcpu_.run_area().exit_reason) {
        case KVM_EXIT_IO:
            if (!stub) return left_ring_3(rip);
            TRY(handle_stub(*stub));
            return Answer::Done;
        case KVM_EXIT_DEBUG:  // at a stub: a guest whose #UD handler has the stub's address
            if (stub)
                TRY(handle_stub(*stub));
            else
                TRY(handle_debug_inside());
            return Answer::Done;
        case KVM_EXIT_SHUTDOWN: {
            const bool was_rsm = TRY(handle_rsm());
            return was_rsm ? Answer::Done : Answer::NotMine;
        }
        default:
            return Answer::NotMine;
    }
}

// An INIT waits for as long as the vCPU is inside (enclave_watch.hpp). Outside it is KVM's business.
Result<void> SgxVcpu::interrupted() {
    if (!processor_.is_inside()) return {};
    const auto events = TRY(vcpu_.events());
    if (events.smi.latched_init == 0) return {};
    return leave_enclave();
}

Result<void> SgxVcpu::leave_enclave() {
    if (!processor_.is_inside()) return {};
    const auto& now = vcpu_.synchronized();
    // An event may have come that has not ended KVM_RUN yet: it is dealt with first.
    const auto stub = PrivatePages::vector_at(now.regs.rip);
    if (stub)
        TRY(handle_stub(*stub));
    else
        state_.take_inside(now.regs, now.sregs, frame_of(now.regs));
    if (!processor_.is_inside()) return {};
    memory_.pause();
    // One that KVM was about to deliver inside is the outside's. An exception is not: it comes again.
    const auto events = TRY(vcpu_.events());
    kvm::Delivery delivery;
    if (events.nmi.injected != 0) delivery = {.kind = Kind::Nmi};
    if (events.interrupt.injected != 0) delivery = {.kind = Kind::Interrupt, .vector = events.interrupt.nr};
    return exit_asynchronously({}, delivery);
}

Result<void> SgxVcpu::handle_stub(uint8_t vector) {
    memory_.pause();
    const auto& now = vcpu_.synchronized();
    auto event = parts_.pages.read_stack(index_, now.regs.rsp);
    if (!event) return left_ring_3(now.regs.rip);
    if (vector == kNmi && event->frame.cpl() != 3) {
        // It came on top of another event, before that one's stub had ended KVM_RUN. First things first.
        const auto first = PrivatePages::vector_at(event->frame.rip);
        if (first) event = parts_.pages.read_stack(index_, event->frame.rsp);
        if (!first || !event) return left_ring_3(now.regs.rip);
        vector = *first;
        TRY(kvm::ViewSwitch::return_nmi(vcpu_));
    }
    if (event->frame.cpl() != 3) return interrupted_ring_0(vector, event->frame);
    state_.take_inside(now.regs, now.sregs, event->frame);
    return handle_event(vector, event->error_code);
}

Result<void> SgxVcpu::handle_event(uint8_t vector, std::optional<uint32_t> error_code) {
    if (vector == kNmi) return exit_asynchronously({}, {.kind = Kind::Nmi});
    const bool interrupt = TRY(is_interrupt(vector, error_code.has_value()));
    if (interrupt) return exit_asynchronously({}, {.kind = Kind::Interrupt, .vector = vector});
    const sgx::Exception raw{.vector = vector, .error_code = error_code.value_or(0)};
    if (vector == kMachineCheck) return exit_asynchronously({}, delivery_of(raw));
    if (vector == sgx::vector::PF) return handle_page_fault(raw.error_code);
    return handle_exception(raw);
}

// The local APIC may send vectors that exceptions have too.
Result<bool> SgxVcpu::is_interrupt(uint8_t vector, bool has_error_code) const {
    if (vector < kFirstForInterrupts || has_error_code) return false;
    if (vector >= kFirstFree) return true;
    const auto lapic = TRY(vcpu_.lapic());
    const auto in_service = static_cast<uint8_t>(lapic.regs[kLapicIsr + vector / 8]);
    return (in_service >> vector % 8 & 1) != 0;
}

Result<void> SgxVcpu::handle_page_fault(uint32_t error_code) {
    const uint64_t linear = vcpu_.synchronized().sregs.cr2;
    const auto access = (error_code & sgx::pfec::I) != 0   ? sgx::Access::Execute
                        : (error_code & sgx::pfec::W) != 0 ? sgx::Access::Write
                                                           : sgx::Access::Read;
    const auto outcome = memory_.fault(processor_, state_.tables(), linear, access);
    if (const auto* error = outcome.ended_with<Error>()) return Failure{*error};
    if (const auto* exception = outcome.ended_with<sgx::Exception>())
        return exit_asynchronously({.kind = EventKind::Fault, .exception = *exception},
                                   delivery_of(*exception));
    load_inside();
    return {};
}

Result<void> SgxVcpu::handle_exception(const sgx::Exception& raw) {
    std::array<uint8_t, sgx::kMaxInstructionLength> buffer;
    const size_t count = TRY(memory_.fetch(processor_, state_.tables(), state_.registers().rip, buffer));
    const ByteView bytes = ByteView(buffer).first(count);
    const auto decoded = raw.vector == sgx::vector::UD ? sgx::decode(bytes, true) : std::nullopt;
    if (!decoded || decoded->instruction != sgx::Instruction::ENCLU) {
        const auto event = sgx::as_seen_inside(
            raw, bytes,
            {.debug_opt_in = processor_.inside->debug_opt_in, .rdtsc = parts_.engine.features().sgx2});
        return exit_asynchronously(event, delivery_of(event.exception));
    }
    state_.set_instruction_length(decoded->length);
    const auto outcome = parts_.engine.enclu(processor_, state_);
    if (const auto* error = outcome.ended_with<Error>()) return Failure{*error};
    if (const auto* exception = outcome.ended_with<sgx::Exception>())
        return exit_asynchronously({.kind = EventKind::Fault, .exception = *exception},
                                   delivery_of(*exception));
    if (!processor_.is_inside()) return leave_view({}, std::nullopt);
    load_inside();
    return {};
}

// KVM hands us every #DB, as our breakpoint is set; no stub has run.
Result<void> SgxVcpu::handle_debug_inside() {
    memory_.pause();
    const auto& now = vcpu_.synchronized();
    const auto debug = vcpu_.run_area().debug.arch;
    const bool is_nobodys = TRY(is_step_of_kvms(debug));
    state_.take_inside(now.regs, now.sregs, frame_of(now.regs));
    const bool is_undone = (debug.dr6 & kDr6Bs) != 0 && !processor_.inside->debug_opt_in;
    if (is_nobodys || is_undone) {  // POPF can not set TF there
        if (is_undone) state_.registers().rflags &= ~sgx::rflags::TF;
        load_inside();
        return {};
    }
    TRY(store_dr6(debug.dr6));
    const sgx::Exception exception{.vector = sgx::vector::DB};
    return exit_asynchronously({.kind = EventKind::Trap, .exception = exception}, delivery_of(exception));
}

// RSM finds no memory where its state should be, and KVM gives up with RIP behind it.
Result<bool> SgxVcpu::handle_rsm() {
    memory_.pause();
    const auto& now = vcpu_.synchronized();
    auto frame = frame_of(now.regs);
    frame.rip = frame.rip - kRsm.size();
    std::array<uint8_t, kRsm.size()> bytes;
    const size_t count = TRY(memory_.fetch(processor_, state_.tables(), frame.rip, bytes));
    if (count != kRsm.size() || bytes != kRsm) return false;
    state_.take_inside(now.regs, now.sregs, frame);
    const sgx::Event event{.kind = EventKind::Fault, .exception = sgx::kUndefinedOpcode};
    TRY(exit_asynchronously(event, delivery_of(event.exception)));
    return true;
}

Result<void> SgxVcpu::exit_asynchronously(const sgx::Event& event, const kvm::Delivery& delivery) {
    const auto outcome = parts_.engine.asynchronous_exit(processor_, state_, event);
    if (const auto* error = outcome.ended_with<Error>()) return Failure{*error};
    ALCOVE_CHECK(outcome.has_value(), "an asynchronous exit does not fault");
    const bool page_fault = delivery.kind == Kind::Exception && delivery.vector == sgx::vector::PF;
    return leave_view(delivery, page_fault ? std::optional((*outcome).exception.address) : std::nullopt);
}

Result<void> SgxVcpu::enter_view() {
    TRY(set_view(kvm::View::Protected, {}));
    TRY(load_xcr0());
    TRY(msrs_.enter(vcpu_));
    iopl_ = sgx::rflags::IOPL::get(state_.registers().rflags);
    memory_.enter(processor_, state_.tables(), state_.kept().cr3);
    parts_.watch.entered(index_);
    load_inside();
    return {};
}

Result<void> SgxVcpu::leave_view(const kvm::Delivery& delivery, std::optional<uint64_t> cr2) {
    parts_.watch.left(index_);
    TRY(set_view(kvm::View::Ordinary, delivery));
    TRY(load_xcr0());
    TRY(msrs_.leave(vcpu_));
    auto general = state_.general();
    general.rflags = sgx::rflags::IOPL::put(general.rflags, iopl_);
    auto special = state_.outside();
    if (cr2) special.cr2 = *cr2;
    load(general, special);
    return {};
}

Result<void> SgxVcpu::load_xcr0() {
    const uint64_t wanted = state_.registers().xcr0;
    if (wanted == xcr0_) return {};
    TRY(vcpu_.set_xcr0(wanted));
    xcr0_ = wanted;
    return {};
}

// Ring 3 on our tables, where the instructions that enclaves may not use fault (sgx/illegal_instruction.hpp).
void SgxVcpu::load_inside() {
    namespace cr4 = paging::cr4;
    auto special = state_.outside();
    PrivatePages::put_environment(special);
    special.cr0 |= paging::cr0::WP;
    special.cr3 = memory_.resume();
    special.cr4 &=
        cr4::TSD | cr4::DE | cr4::MCE | cr4::OSFXSR | cr4::OSXMMEXCPT | cr4::FSGSBASE | cr4::OSXSAVE;
    special.cr4 |= cr4::PAE | cr4::SMEP | cr4::SMAP | (parts_.umip ? cr4::UMIP : 0);
    if (!parts_.engine.features().sgx2) special.cr4 |= cr4::TSD;
    special.efer = (special.efer & ~paging::efer::SCE) | paging::efer::NXE;
    auto general = state_.general();
    general.rflags = sgx::rflags::IOPL::put(general.rflags, 0);
    load(general, special);
}

}  // namespace alcove::sgx_vm

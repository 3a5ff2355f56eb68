// SPDX-License-Identifier: Apache-2.0
#include "sgx/entry.hpp"

namespace alcove::sgx {

namespace {

bool is_enterable(const Entry& entry, uint64_t linear) {
    return entry.VALID && !entry.BLOCKED && entry.ENCLAVEADDRESS == linear && entry.type() == PageType::TCS &&
           !entry.is_any(secinfo::PENDING | secinfo::MODIFIED);
}

void remove_occupant(EpcmState& state, const Inside& inside, uint32_t processor) {
    std::erase_if(state.enclave(inside.world.secs)->occupants,
                  [&](const Occupant& occupant) { return occupant.processor == processor; });
}

struct Target {
    Inside inside;
    uint64_t frame_size;
};

Outcome<Target> admit(EpcmState& state, Call& call, PageIndex page) {
    const uint64_t linear = call.registers().rbx;
    const Entry& entry = state.entry(page);
    if (!is_enterable(entry, linear)) return call.epcm_fault(linear, Access::Write);
    Enclave& enclave = state.enclave_of(entry);
    TRY_LEAF(require(enclave.is_initialized()));
    enclave.occupants.push_back(
        {.processor = call.processor().id(), .tcs = page, .entry_epoch = enclave.epoch});
    return Target{.inside = {.world = {.secs = entry.ENCLAVESECS,
                                       .eid = enclave.eid,
                                       .base = enclave.secs.BASEADDR,
                                       .size = enclave.secs.SIZE},
                             .attributes = enclave.secs.ATTRIBUTES,
                             .miscselect = enclave.secs.MISCSELECT,
                             .tcs = page,
                             .tcs_address = linear},
                  .frame_size = uint64_t{enclave.secs.SSAFRAMESIZE} * kPageSize};
}

}  // namespace

Outcome<Entering> Entering::begin(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rbx, Access::Write));
    TRY_LEAF(require(is_canonical(regs.rcx)));
    auto hold = TRY_LEAF(call.hold(page, Latch::Shared));
    auto pin = TRY_LEAF(call.pin(page));
    const auto target =
        TRY_LEAF(call.epcm().with([&](EpcmState& state) { return admit(state, call, page); }));
    return Entering(call, std::move(hold), std::move(pin), target.inside, target.frame_size);
}

Entering::~Entering() {
    if (call_ == nullptr) return;
    call_->epcm().with([&](EpcmState& state) {
        if (active_) pin_.write(offsetof(TCS, STATE), Le64(0));
        remove_occupant(state, inside_, call_->processor().id());
    });
}

Outcome<void> Entering::check_mode() const {
    TRY_LEAF(require(is_aligned<uint64_t>(tcs_.OSSA, kPageSize) &&
                     is_aligned<uint64_t>(tcs_.OFSBASE, kPageSize) &&
                     is_aligned<uint64_t>(tcs_.OGSBASE, kPageSize)));
    TRY_LEAF(require((tcs_.FLAGS & ~TCS::DBGOPTIN) == 0));
    const auto mode = call_->cpu().mode();
    const bool wants_64 = (inside_.attributes.FLAGS & attributes::MODE64BIT) != 0;
    TRY_LEAF(require(wants_64 == mode.long_mode_64 && mode.osfxsr));
    const uint64_t xfrm = inside_.attributes.XFRM;
    const uint64_t usable = mode.osxsave ? call_->registers().xcr0 : xcr0::X87 | xcr0::SSE;
    return require((xfrm & ~usable) == 0);
}

Outcome<PageIndex> Entering::frame_page(uint64_t linear) const {
    const auto page = TRY_LEAF(call_->epc_page(linear, Access::Write));
    const bool usable = call_->epcm().with([&](EpcmState& state) {  // W implies R
        return allows_direct(state.entry(page), inside_.world.secs, linear, Access::Write);
    });
    if (!usable) return call_->epcm_fault(linear, Access::Write);
    return page;
}

Outcome<SsaFrame> Entering::find_frame(uint32_t slot) const {
    SsaFrame frame{.address = inside_.world.base + tcs_.OSSA + frame_size_ * slot, .size = frame_size_};
    frame.first = TRY_LEAF(frame_page(frame.address));
    frame.last = frame.first;
    if (frame.size > kPageSize) frame.last = TRY_LEAF(frame_page(frame.address + frame.size - kPageSize));
    return frame;
}

Outcome<void> Entering::activate() {
    const bool was_inactive = call_->epcm().with([&](EpcmState&) {
        const auto now = pin_.read<TCS>(0);
        if (now.STATE != 0 || now.CSSA != tcs_.CSSA) return false;
        pin_.write(offsetof(TCS, STATE), Le64(1));
        return true;
    });
    active_ = was_inactive;
    return require(was_inactive);
}

void Entering::complete(const SsaFrame& frame, uint32_t cssa) {
    auto& regs = call_->registers();
    pin_.write(offsetof(TCS, AEP), Le64(regs.rcx));
    pin_.write(offsetof(TCS, CSSA), Le32(cssa));
    inside_.aep = regs.rcx;
    inside_.frame = frame;
    inside_.debug_opt_in = (tcs_.FLAGS & TCS::DBGOPTIN) != 0;
    inside_.fs = regs.fs;
    inside_.gs = regs.gs;
    inside_.xcr0 = regs.xcr0;
    inside_.tf = (regs.rflags & rflags::TF) != 0;
    if (call_->cpu().mode().osxsave) regs.xcr0 = inside_.attributes.XFRM;
    call_->epcm().with([&](EpcmState& state) { ++state.enclave(inside_.world.secs)->entries; });
    call_->processor().inside = inside_;
    call_->cpu().enter_enclave_mode(inside_.world);
    call_ = nullptr;
}

Segment enclave_segment(uint64_t base) {
    constexpr uint16_t kSelector = 0x0b;
    constexpr uint16_t kRights = 0xc0f3;  // present, DPL 3, accessed data, 32 bits, 4 KiB granularity
    return {.selector = kSelector, .base = base, .limit = 0xffff'ffff, .rights = kRights};
}

void leave_enclave(Call& call, const PagePin& tcs) {
    const Inside inside = call.inside();
    auto& regs = call.registers();
    regs.fs = inside.fs;
    regs.gs = inside.gs;
    regs.xcr0 = inside.xcr0;
    if (!inside.debug_opt_in) {
        regs.rflags &= ~rflags::TF;
        if (inside.tf) regs.rflags |= rflags::TF;
    }
    call.epcm().with([&](EpcmState& state) {
        tcs.write(offsetof(TCS, STATE), Le64(0));
        remove_occupant(state, inside, call.processor().id());
    });
    call.processor().inside.reset();
    call.cpu().leave_enclave_mode();
}

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
#include "sgx/call.hpp"

namespace alcove::sgx {

Exception Call::epcm_fault(uint64_t linear, Access access) const {
    uint32_t error = pfec::P | pfec::SGX;
    if (access == Access::Write) error |= pfec::W;
    if (access == Access::Execute) error |= pfec::I;
    if (cpu_.mode().cpl == 3) error |= pfec::U;
    return {.vector = vector::PF, .error_code = error, .address = linear};
}

Outcome<PageIndex> Call::epc_page(uint64_t linear, Access access) {
    const auto address = TRY_LEAF(cpu_.translate(linear, access));
    const auto page = parts_.sections.find(address);
    if (!page) return epcm_fault(linear, access);
    return *page;
}

Outcome<Hold> Call::hold(PageIndex page, Latch set) {
    auto hold = Hold::attempt(epcm(), page, set);
    if (!hold) return kGeneralProtection;
    return std::move(*hold);
}

Outcome<Hold> Call::hold_or(PageIndex page, Latch set, Status busy) {
    auto hold = Hold::attempt(epcm(), page, set);
    if (!hold) return busy;
    return std::move(*hold);
}

Outcome<Hold> Call::claim_free(PageIndex page, uint64_t linear) {
    auto claimed = TRY_LEAF(hold(page, Latch::Exclusive));
    const bool valid = epcm().with([&](EpcmState& state) { return state.entry(page).VALID; });
    if (valid) return epcm_fault(linear, Access::Write);
    return claimed;
}

Outcome<Enclave*> Call::enclave(PageIndex secs, uint64_t linear, Access access) {
    Enclave* found = epcm().with([&](EpcmState& state) { return state.enclave(secs); });
    if (found == nullptr) return epcm_fault(linear, access);
    return found;
}

Outcome<void> Call::require_in_enclave(uint64_t linear) const {
    return require(inside().contains(linear));
}

bool allows_direct(const Entry& entry, PageIndex secs, uint64_t linear, Access access) {
    const uint64_t right = access == Access::Write     ? secinfo::W
                           : access == Access::Execute ? secinfo::X
                                                       : secinfo::R;
    return entry.VALID && entry.type() == PageType::REG && entry.ENCLAVESECS == secs && !entry.BLOCKED &&
           !entry.is_any(secinfo::PENDING | secinfo::MODIFIED) &&
           entry.ENCLAVEADDRESS == align_down(linear, kPageSize) && entry.is(right);
}

Outcome<void> Call::check_direct(PageIndex page, uint64_t linear, Access access) {
    const bool allowed = epcm().with([&](EpcmState& state) {
        return allows_direct(state.entry(page), inside().world.secs, linear, access);
    });
    if (!allowed) return epcm_fault(linear, access);
    return {};
}

}  // namespace alcove::sgx

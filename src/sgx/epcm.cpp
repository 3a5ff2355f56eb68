// SPDX-License-Identifier: Apache-2.0
#include "sgx/epcm.hpp"

#include <algorithm>
#include <utility>

#include "support/check.hpp"

namespace alcove::sgx {

Enclave* EpcmState::enclave(PageIndex secs) {
    const auto found = enclaves_.find(secs);
    return found == enclaves_.end() ? nullptr : found->second.get();
}

const Enclave* EpcmState::enclave(PageIndex secs) const {
    const auto found = enclaves_.find(secs);
    return found == enclaves_.end() ? nullptr : found->second.get();
}

Enclave& EpcmState::enclave_of(const Entry& child) {
    ALCOVE_CHECK(child.is_child(), "a page that belongs to an enclave");
    Enclave* enclave_of_child = enclave(child.ENCLAVESECS);
    ALCOVE_CHECK(enclave_of_child != nullptr, "a SECS stays while it has children");
    return *enclave_of_child;
}

void EpcmState::add_enclave(PageIndex secs, std::unique_ptr<Enclave> enclave) {
    entry(secs) = Entry{.VALID = true, .flags = secinfo::pt(PageType::SECS)};
    enclaves_[secs] = std::move(enclave);
}

void EpcmState::add_child(PageIndex page, const Entry& child) {
    ++enclave_of(child).children;
    entry(page) = child;
}

void EpcmState::invalidate(PageIndex page) {
    Entry& gone = entry(page);
    if (!gone.VALID) return;
    if (gone.type() == PageType::SECS) {
        ALCOVE_CHECK(enclave(page)->children == 0, "a SECS goes after its children");
        enclaves_.erase(page);
    } else if (gone.is_child()) {
        --enclave_of(gone).children;
    }
    gone = Entry{};
}

bool EpcmState::is_tracked(const Entry& child) {
    const Enclave& owner = enclave_of(child);
    return child.mark < owner.epoch &&
           std::none_of(owner.occupants.begin(), owner.occupants.end(),
                        [&](const Occupant& occupant) { return occupant.entry_epoch <= child.mark; });
}

bool EpcmState::try_latch(PageIndex page, Latch set) {
    Latches& now = latches_.at(number(page));
    if (has(set, Latch::Shared) && now.exclusive) return false;
    if (has(set, Latch::Exclusive) && (now.exclusive || now.shared != 0)) return false;
    if (has(set, Latch::Modify) && now.modify) return false;
    if (has(set, Latch::Build) && now.build) return false;
    if (has(set, Latch::Shared)) ++now.shared;
    if (has(set, Latch::Exclusive)) now.exclusive = true;
    if (has(set, Latch::Modify)) now.modify = true;
    if (has(set, Latch::Build)) now.build = true;
    return true;
}

void EpcmState::unlatch(PageIndex page, Latch set) {
    Latches& now = latches_.at(number(page));
    if (has(set, Latch::Shared)) --now.shared;
    if (has(set, Latch::Exclusive)) now.exclusive = false;
    if (has(set, Latch::Modify)) now.modify = false;
    if (has(set, Latch::Build)) now.build = false;
}

void EpcmState::drop_all() {
    for (const auto& [secs, enclave] : enclaves_)
        ALCOVE_CHECK(enclave->occupants.empty(), "nobody is inside when EPC is lost");
    for (const auto& latches : latches_)
        ALCOVE_CHECK(latches.shared == 0 && !latches.exclusive && !latches.modify && !latches.build,
                     "no leaf runs when EPC is lost");
    enclaves_.clear();
    std::fill(entries_.begin(), entries_.end(), Entry{});
}

std::optional<std::string> EpcmState::find_inconsistency() const {
    std::map<PageIndex, uint32_t> children;
    for (uint32_t index = 0; index < pages(); ++index) {
        const PageIndex page{index};
        const Entry& it = entry(page);
        const std::string name = "page " + std::to_string(index);
        if (!it.VALID && it != Entry{}) return name + " is invalid and has properties";
        if (it.VALID != (it.is_child() || it.type() == PageType::VA || enclave(page) != nullptr))
            return name + " is a SECS without an enclave";
        if (enclave(page) != nullptr && (!it.VALID || it.type() != PageType::SECS))
            return name + " has an enclave and is no SECS";
        if (it.vacant && it.type() != PageType::VA) return name + " is vacant and no VA page";
        if (!it.is_child()) {
            if (it.VALID && (it.BLOCKED || it.is_any(secinfo::kRights | secinfo::kStates)))
                return name + " is a SECS or VA page with rights";
            continue;
        }
        const Enclave* owner = enclave(it.ENCLAVESECS);
        if (owner == nullptr) return name + " has no SECS";
        ++children[it.ENCLAVESECS];
        if (!owner->contains(it.ENCLAVEADDRESS) || it.ENCLAVEADDRESS % kPageSize != 0)
            return name + " lies outside its enclave";
        if (it.is(secinfo::W) && !it.is(secinfo::R)) return name + " can be written and not read";
        if (it.type() != PageType::REG && it.is_any(secinfo::kRights))
            return name + " has rights and is not REG";
        if (it.is_any(secinfo::kStates) && !owner->is_initialized())
            return name + " was changed before EINIT";
        if (it.mark > owner->epoch) return name + " has a mark of the future";
    }
    for (const auto& [secs, owner] : enclaves_) {
        const std::string name = "enclave " + std::to_string(owner->eid);
        if (owner->children != children[secs]) return name + " miscounts its children";
        for (const auto& occupant : owner->occupants) {
            const Entry& tcs = entry(occupant.tcs);
            if (!owner->is_initialized()) return name + " was entered before EINIT";
            if (occupant.entry_epoch > owner->epoch) return name + " was entered in the future";
            if (!tcs.is_child() || tcs.ENCLAVESECS != secs)
                return name + " is entered through a page that went";
        }
    }
    return std::nullopt;
}

std::optional<Hold> Hold::attempt(Epcm& epcm, PageIndex page, Latch set) {
    if (!epcm.with([&](EpcmState& state) { return state.try_latch(page, set); })) return std::nullopt;
    return Hold(&epcm, page, set);
}

Hold::Hold(Hold&& other) noexcept
    : epcm_(std::exchange(other.epcm_, nullptr)), page_(other.page_), set_(other.set_) {}

Hold::~Hold() {
    if (epcm_ != nullptr) epcm_->with([&](EpcmState& state) { state.unlatch(page_, set_); });
}

}  // namespace alcove::sgx

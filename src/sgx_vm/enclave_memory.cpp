// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/enclave_memory.hpp"

#include <algorithm>
#include <utility>

namespace alcove::sgx_vm {

namespace {

using sgx::Access;
using sgx::kPageSize;

constexpr Requester kInside{.cpl = 3};

}  // namespace

sgx::Outcome<ShadowPage> EnclaveMemory::translate(const sgx::Processor& processor, uint64_t linear,
                                                  Access access, const PageWalk& walk) const {
    const auto answer = TRY_LEAF(engine_.check_access(processor, linear, access, walk.address));
    const memory::GuestAddress page(align_down(walk.address.value(), kPageSize));
    // A page that is not dirty yet is mapped read-only: the first write has to set the bit.
    const bool writable = walk.writable && walk.dirty;
    const auto* enclosed = std::get_if<sgx::DirectAccess::Enclosed>(&answer);
    if (enclosed != nullptr)
        return ShadowPage{.page = page,
                          .writable = writable && (enclosed->rights & sgx::secinfo::W) != 0,
                          .executable = walk.executable && (enclosed->rights & sgx::secinfo::X) != 0,
                          .enclosed = enclosed->page};
    const bool is_epc = engine_.sections().find(page).has_value();
    return ShadowPage{.page = is_epc ? ones_ : page, .writable = writable, .executable = false};
}

bool EnclaveMemory::is_valid_still(const sgx::Processor& processor, const GuestPageTables& guest,
                                   uint64_t linear, const ShadowPage& page) const {
    const auto walk = guest.look(linear);
    if (!walk || !walk->user || !walk->accessed) return false;
    const auto again = translate(processor, linear, page.executable ? Access::Execute : Access::Read, *walk);
    return again && (*again).page == page.page && (!page.writable || (*again).writable) &&
           (!page.executable || (*again).executable);
}

void EnclaveMemory::enter(const sgx::Processor& processor, const GuestPageTables& guest, uint64_t cr3) {
    const std::lock_guard lock(mutex_);
    const auto& world = processor.inside->world;
    if (world_ != world || cr3_ != cr3) {
        tables_.reset();
        world_ = world;
        cr3_ = cr3;
        return;
    }
    std::vector<uint64_t> void_now;
    for (const auto& [linear, page] : tables_.pages())
        if (!is_valid_still(processor, guest, linear, page)) void_now.push_back(linear);
    for (const uint64_t linear : void_now)
        tables_.unmap(linear);
}

sgx::Outcome<void> EnclaveMemory::fault(const sgx::Processor& processor, const GuestPageTables& guest,
                                        uint64_t linear, Access access) {
    const auto walk = TRY_LEAF(guest.walk(linear, access, kInside));
    const auto page = TRY_LEAF(translate(processor, linear, access, walk));
    std::optional<sgx::PagePin> pin;
    if (page.enclosed) {
        auto held = engine_.hold_page(*page.enclosed);
        if (!held) return Failure{held.error()};
        pin.emplace(std::move(*held));
    }
    {
        const std::lock_guard lock(mutex_);
        if (tables_.map(linear, page)) return {};
    }
    // Among our own pages (kOwnBase).
    uint32_t error = sgx::pfec::P | sgx::pfec::U;
    if (access == Access::Write) error |= sgx::pfec::W;
    if (access == Access::Execute) error |= sgx::pfec::I;
    return sgx::Exception{.vector = sgx::vector::PF, .error_code = error, .address = linear};
}

uint64_t EnclaveMemory::resume() {
    const std::lock_guard lock(mutex_);
    // There are two roots, and tables that were begun anew have the other one already.
    if (std::exchange(lost_pages_, false) && tables_.root() == loaded_root_) tables_.renew_root();
    runs_ = true;
    loaded_root_ = tables_.root();
    return loaded_root_;
}

void EnclaveMemory::pause() {
    const std::lock_guard lock(mutex_);
    runs_ = false;
}

bool EnclaveMemory::was_accessed(sgx::PageIndex page) {
    const std::lock_guard lock(mutex_);
    return tables_.take_accessed(page);
}

bool EnclaveMemory::give_up(sgx::PageIndex page) {
    const std::lock_guard lock(mutex_);
    if (!tables_.has(page)) return true;
    if (runs_) return false;
    tables_.unmap(page);
    lost_pages_ = true;
    return true;
}

Result<size_t> EnclaveMemory::fetch(const sgx::Processor& processor, const GuestPageTables& guest,
                                    uint64_t rip, MutableByteView into) {
    size_t done = 0;
    while (done < into.size()) {
        const uint64_t linear = rip + done;
        const size_t part = std::min<size_t>(into.size() - done, kPageSize - linear % kPageSize);
        const auto walk = guest.walk(linear, Access::Execute, kInside);
        if (!walk) break;
        const auto answer = engine_.check_access(processor, linear, Access::Execute, (*walk).address);
        if (!answer) break;
        const auto* enclosed = std::get_if<sgx::DirectAccess::Enclosed>(&*answer);
        ALCOVE_CHECK(enclosed != nullptr, "code inside an enclave is in its pages");
        TRY(engine_.read_page(enclosed->page, linear % kPageSize, into.subspan(done, part)));
        done += part;
    }
    return done;
}

}  // namespace alcove::sgx_vm

// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/guest_page_tables.hpp"

#include <algorithm>

#include "sgx/call.hpp"
#include "sgx_vm/paging_spec.hpp"
#include "support/check.hpp"

namespace alcove::sgx_vm {

namespace {

using sgx::Access;
using sgx::kPageSize;
namespace pfec = sgx::pfec;

// Other processors change entries while we mark them; one that does nothing else must not hold us for ever.
constexpr int kMaxWalks = 64;

uint64_t reserved_bits(uint64_t entry, unsigned level, bool no_execute) {
    uint64_t reserved = paging::kAddressMask & ~((uint64_t{1} << GuestPageTables::kPhysicalBits) - 1);
    if (!no_execute) reserved |= paging::XD;
    if ((entry & paging::PS) == 0) return reserved;
    if (level == paging::kTopLevel) reserved |= paging::PS;
    // Of a large page, but for PAT in bit 12.
    if (level == 2 || level == 3) reserved |= (uint64_t{1} << paging::page_bits(level)) - (1U << 13);
    return reserved;
}

sgx::Exception page_fault(uint64_t linear, Access access, Requester who, uint32_t cause) {
    uint32_t error = cause;
    if (access == Access::Write) error |= pfec::W;
    if (access == Access::Execute) error |= pfec::I;
    if (who.cpl == 3) error |= pfec::U;
    return {.vector = sgx::vector::PF, .error_code = error, .address = linear};
}

size_t within_page(uint64_t linear, size_t size) {
    return std::min<size_t>(size, kPageSize - linear % kPageSize);
}

}  // namespace

GuestPageTables::Path GuestPageTables::follow(uint64_t linear) const {
    Path path;
    path.result = {.writable = true, .user = true, .executable = true, .accessed = true};
    uint64_t table = mode_.cr3 & paging::kAddressMask;
    for (unsigned level = paging::kTopLevel;; --level) {
        Step& step = path.steps[path.count++];
        step.place = memory::GuestAddress(table + 8 * paging::index_of(linear, level));
        step.entry = physical_.entry(step.place);
        if ((step.entry & paging::P) == 0) return path;
        path.present = true;
        path.reserved = (step.entry & reserved_bits(step.entry, level, mode_.no_execute)) != 0;
        if (path.reserved) return path;
        path.present = false;
        path.result.writable &= (step.entry & paging::RW) != 0;
        path.result.user &= (step.entry & paging::US) != 0;
        path.result.executable &= (step.entry & paging::XD) == 0;
        path.result.accessed &= (step.entry & paging::A) != 0;
        if (level == 1 || (step.entry & paging::PS) != 0) {
            const uint64_t offset = (uint64_t{1} << paging::page_bits(level)) - 1;
            path.result.dirty = (step.entry & paging::D) != 0;
            path.result.address =
                memory::GuestAddress((step.entry & paging::kAddressMask & ~offset) | (linear & offset));
            path.present = true;
            return path;
        }
        table = step.entry & paging::kAddressMask;
    }
}

// SDM vol. 3A, "Determination of Access Rights".
bool GuestPageTables::is_allowed(const PageWalk& walk, Access access, Requester who) const {
    if (who.cpl == 3)
        return walk.user && (access != Access::Write || walk.writable) &&
               (access != Access::Execute || walk.executable);
    if (access == Access::Execute) return walk.executable && !(walk.user && mode_.smep);
    if (walk.user && mode_.smap && !who.ac) return false;
    return access != Access::Write || walk.writable || !mode_.write_protect;
}

bool GuestPageTables::mark(const Path& path, Access access) const {
    for (unsigned i = 0; i < path.count; ++i) {
        const Step& step = path.steps[i];
        uint64_t marked = step.entry | paging::A;
        if (i + 1 == path.count && access == Access::Write) marked |= paging::D;
        if (marked != step.entry && !physical_.change_entry(step.place, step.entry, marked)) return false;
    }
    return true;
}

sgx::Outcome<PageWalk> GuestPageTables::walk(uint64_t linear, Access access, Requester who) const {
    if (!sgx::is_canonical(linear)) return sgx::kGeneralProtection;
    for (int attempt = 1;; ++attempt) {
        Path path = follow(linear);
        if (path.reserved) return page_fault(linear, access, who, pfec::P | paging::kReservedBit);
        if (!path.present) return page_fault(linear, access, who, 0);
        if (!is_allowed(path.result, access, who)) return page_fault(linear, access, who, pfec::P);
        if (!mark(path, access) && attempt < kMaxWalks) continue;
        path.result.accessed = true;
        path.result.dirty |= access == Access::Write;
        return path.result;
    }
}

std::optional<PageWalk> GuestPageTables::look(uint64_t linear) const {
    if (!sgx::is_canonical(linear)) return std::nullopt;
    const Path path = follow(linear);
    if (!path.present || path.reserved) return std::nullopt;
    return path.result;
}

sgx::Outcome<void> GuestPageTables::read(uint64_t linear, MutableByteView into, Access access,
                                         Requester who) const {
    while (!into.empty()) {
        const size_t part = within_page(linear, into.size());
        const auto found = TRY_LEAF(walk(linear, access, who));
        physical_.read(found.address, into.first(part));
        into = into.subspan(part);
        linear += part;
    }
    return {};
}

sgx::Outcome<void> GuestPageTables::write(uint64_t linear, ByteView from, Requester who) const {
    ALCOVE_CHECK(from.size() <= kPageSize, "what lies in two pages at most");
    if (from.empty()) return {};
    const size_t part = within_page(linear, from.size());
    const auto first = TRY_LEAF(walk(linear, Access::Write, who));
    if (part == from.size()) {
        physical_.write(first.address, from);
        return {};
    }
    // Both before either is written, which may be a table of the other.
    const auto second = TRY_LEAF(walk(linear + part, Access::Write, who));
    physical_.write(first.address, from.first(part));
    physical_.write(second.address, from.subspan(part));
    return {};
}

}  // namespace alcove::sgx_vm

// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/shadow_tables.hpp"

#include <algorithm>
#include <atomic>

#include "sgx_vm/paging_spec.hpp"
#include "support/check.hpp"

namespace alcove::sgx_vm {

namespace {

using paging::P;
using paging::RW;
using paging::US;
using paging::XD;

constexpr uint32_t kRoots = 2;
constexpr uint64_t kSlotSize = uint64_t{1} << paging::page_bits(paging::kTopLevel);
constexpr uint64_t kPage = 4096;

}  // namespace

ShadowTables::ShadowTables(MutableByteView tables, memory::GuestAddress base, std::vector<OwnPage> own)
    : tables_(tables), base_(base), own_(std::move(own)) {
    ALCOVE_CHECK(tables_.size() / kPage >= kMinTables, "room for tables");
    ALCOVE_CHECK(own_.size() <= 512, "our own pages are in one table");
    reset();
}

uint64_t ShadowTables::root() const {
    return address_of(root_);
}

void ShadowTables::reset() {
    pages_.clear();
    enclosed_.clear();
    root_ = 1 - root_;
    next_table_ = kRoots;
    std::fill_n(entry_of(root_, 0), kPage / sizeof(uint64_t), uint64_t{0});
    for (size_t i = 0; i < own_.size(); ++i) {
        const uint64_t leaf = own_[i].page.value() | P | paging::A | paging::D | (own_[i].writable ? RW : 0) |
                              (own_[i].executable ? 0 : XD);
        ALCOVE_CHECK(insert(kOwnBase + i * kPage, leaf, P | RW), "room for our own tables");
    }
}

void ShadowTables::renew_root() {
    std::copy_n(entry_of(root_, 0), kPage / sizeof(uint64_t), entry_of(1 - root_, 0));
    root_ = 1 - root_;
}

uint64_t* ShadowTables::entry_of(uint32_t table, uint64_t index) const {
    return reinterpret_cast<uint64_t*>(tables_.data() + uint64_t{table} * kPage) + index;
}

// Rights are those of the leaf; directories give all.
bool ShadowTables::insert(uint64_t linear, uint64_t leaf, uint64_t directory_rights) {
    uint32_t table = root_;
    for (unsigned level = paging::kTopLevel; level > 1; --level) {
        uint64_t& entry = *entry_of(table, paging::index_of(linear, level));
        if ((entry & P) == 0) {
            if (next_table_ == tables_.size() / kPage) return false;
            std::fill_n(entry_of(next_table_, 0), kPage / sizeof(uint64_t), uint64_t{0});
            entry = address_of(next_table_++) | directory_rights | paging::A;
        }
        table = static_cast<uint32_t>(((entry & paging::kAddressMask) - base_.value()) / kPage);
    }
    *entry_of(table, paging::index_of(linear, 1)) = leaf;
    return true;
}

bool ShadowTables::map(uint64_t linear, const ShadowPage& page) {
    linear = align_down(linear, kPage);
    if (linear - kOwnBase < kSlotSize) return false;
    const uint64_t leaf = page.page.value() | P | US | paging::A | paging::D | (page.writable ? RW : 0) |
                          (page.executable ? 0 : XD);
    if (!insert(linear, leaf, P | RW | US)) {
        reset();
        ALCOVE_CHECK(insert(linear, leaf, P | RW | US), "empty tables hold a page");
    }
    forget(linear);  // what was there before, with other rights or of another page
    pages_[linear] = page;
    if (page.enclosed) enclosed_[*page.enclosed] = linear;
    return true;
}

void ShadowTables::forget(uint64_t linear) {
    const auto found = pages_.find(linear);
    if (found == pages_.end()) return;
    if (found->second.enclosed) enclosed_.erase(*found->second.enclosed);
    pages_.erase(found);
}

void ShadowTables::unmap(uint64_t linear) {
    linear = align_down(linear, kPage);
    if (!pages_.contains(linear)) return;
    forget(linear);
    ALCOVE_CHECK(insert(linear, 0, P | RW | US), "tables of a page that was mapped");
}

std::optional<ShadowPage> ShadowTables::find(uint64_t linear) const {
    const auto found = pages_.find(align_down(linear, kPage));
    if (found == pages_.end()) return std::nullopt;
    return found->second;
}

void ShadowTables::unmap(sgx::PageIndex page) {
    const auto found = enclosed_.find(page);
    if (found != enclosed_.end()) unmap(found->second);
}

bool ShadowTables::take_accessed(sgx::PageIndex page) {
    const auto found = enclosed_.find(page);
    if (found == enclosed_.end()) return false;
    // The processor sets the bit at any time.
    const uint64_t before = std::atomic_ref(*leaf_of(found->second)).fetch_and(~paging::A);
    return (before & paging::A) != 0;
}

uint64_t* ShadowTables::leaf_of(uint64_t linear) const {
    uint32_t table = root_;
    for (unsigned level = paging::kTopLevel; level > 1; --level) {
        const uint64_t entry = *entry_of(table, paging::index_of(linear, level));
        ALCOVE_CHECK((entry & P) != 0, "tables of a page that is mapped");
        table = static_cast<uint32_t>(((entry & paging::kAddressMask) - base_.value()) / kPage);
    }
    return entry_of(table, paging::index_of(linear, 1));
}

}  // namespace alcove::sgx_vm

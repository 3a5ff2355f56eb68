// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/shadow_tables.hpp"

#include <algorithm>

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
    root_ = 1 - root_;
    next_table_ = kRoots;
    std::fill_n(entry_of(root_, 0), kPage / sizeof(uint64_t), uint64_t{0});
    for (size_t i = 0; i < own_.size(); ++i) {
        const uint64_t leaf = own_[i].page.value() | P | paging::A | paging::D | (own_[i].writable ? RW : 0) |
                              (own_[i].executable ? 0 : XD);
        ALCOVE_CHECK(insert(kOwnBase + i * kPage, leaf, P | RW), "room for our own tables");
    }
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
    pages_[linear] = page;
    return true;
}

void ShadowTables::unmap(uint64_t linear) {
    linear = align_down(linear, kPage);
    if (pages_.erase(linear) == 0) return;
    ALCOVE_CHECK(insert(linear, 0, P | RW | US), "tables of a page that was mapped");
}

std::optional<ShadowPage> ShadowTables::find(uint64_t linear) const {
    const auto found = pages_.find(align_down(linear, kPage));
    if (found == pages_.end()) return std::nullopt;
    return found->second;
}

}  // namespace alcove::sgx_vm

// SPDX-License-Identifier: Apache-2.0
#include "sgx/sections.hpp"

#include <limits>

#include "sgx/spec.hpp"
#include "support/checked.hpp"

namespace alcove::sgx {

Result<Sections> Sections::create(std::vector<memory::GuestRange> ranges) {
    if (ranges.empty()) return fail(ErrorCode::MachineConfig, "a VM with SGX has at least one EPC section");
    uint64_t pages = 0;
    for (size_t i = 0; i < ranges.size(); ++i) {
        const auto& range = ranges[i];
        if (range.size == 0 || !is_aligned(range.size, kPageSize) ||
            !is_aligned(range.base.value(), kPageSize))
            return fail(ErrorCode::MachineConfig, "an EPC section is whole pages");
        if (!range.base.plus(range.size))
            return fail(ErrorCode::MachineConfig, "an EPC section ends behind the address space");
        for (size_t other = 0; other < i; ++other)
            if (range.overlaps(ranges[other]))
                return fail(ErrorCode::MachineConfig, "two EPC sections overlap");
        pages += range.size / kPageSize;
    }
    const auto count = checked_cast<uint32_t>(pages);
    if (!count || *count == std::numeric_limits<uint32_t>::max())
        return fail(ErrorCode::MachineConfig, "more EPC than there are page numbers");
    return Sections(std::move(ranges), *count);
}

std::optional<PageIndex> Sections::find(memory::GuestAddress address) const {
    uint64_t first = 0;
    for (const auto& range : ranges_) {
        if (range.contains(address))
            return PageIndex(
                static_cast<uint32_t>(first + (address.value() - range.base.value()) / kPageSize));
        first += range.size / kPageSize;
    }
    return std::nullopt;
}

memory::GuestAddress Sections::address_of(PageIndex page) const {
    uint64_t offset = number(page) * kPageSize;
    for (const auto& range : ranges_) {
        if (offset < range.size) return memory::GuestAddress(range.base.value() + offset);
        offset -= range.size;
    }
    ALCOVE_CHECK(false, "a page of these sections");
}

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
#include "ne/parent.hpp"

#include <algorithm>
#include <bit>

#include "support/bits.hpp"
#include "support/checked.hpp"

namespace alcove::ne {

uint64_t Parent::ram_bytes() const {
    uint64_t sum = 0;
    for (const auto& range : ram)
        sum += range.size;
    return sum;
}

uint64_t Parent::granule() const {
    return std::max(MIN_MEM_REGION_SIZE, backing_page);
}

Result<void> Parent::check() const {
    const auto refuse = [](const char* what) {
        return fail(ErrorCode::InvalidArgument, std::string("a primary VM ") + what);
    };
    if (!std::has_single_bit(backing_page) || backing_page < 4_KiB || backing_page > 1_GiB)
        return refuse("with pages of a size that no host has");
    if (ram.empty()) return refuse("without RAM");
    uint64_t sum = 0;
    for (size_t i = 0; i < ram.size(); ++i) {
        const auto& range = ram[i];
        if (range.size == 0 || !checked_add(range.base.value(), range.size))
            return refuse("with RAM that is empty or wraps");
        if (!is_aligned(range.base.value(), backing_page) || !is_aligned(range.size, backing_page))
            return refuse("with RAM that is not whole pages");
        // Two ranges that touch would be one memory slot and one piece, yet are counted as two.
        if (i > 0 && ram[i - 1].end() >= range.base.value())
            return refuse("with RAM that overlaps, touches or is not in order");
        const auto total = checked_add(sum, range.size);
        if (!total) return refuse("with more RAM than there is");
        sum = *total;
    }
    if (core_of_vcpu.empty()) return refuse("without vCPUs");
    if (max_slots == 0) return refuse("that may have no enclave has no NE device");
    if (max_ram_pieces < ram.size()) return refuse("with more RAM ranges than memory slots");
    return {};
}

}  // namespace alcove::ne

// SPDX-License-Identifier: Apache-2.0
//
// Where a VM's EPC lies in its physical address space: one range or several, as CPUID 12H lists them.
#pragma once

#include <optional>
#include <vector>

#include "memory/guest_address.hpp"
#include "sgx/page_index.hpp"
#include "support/result.hpp"

namespace alcove::sgx {

class Sections {
  public:
    // ErrorCode::MachineConfig when there is none, one is empty, unaligned or wraps, two overlap, or all are
    // more than an index can count.
    static Result<Sections> create(std::vector<memory::GuestRange> ranges);

    const std::vector<memory::GuestRange>& ranges() const { return ranges_; }
    uint32_t pages() const { return pages_; }

    // The page this address is in.
    std::optional<PageIndex> find(memory::GuestAddress address) const;
    memory::GuestAddress address_of(PageIndex page) const;

  private:
    Sections(std::vector<memory::GuestRange> ranges, uint32_t pages)
        : ranges_(std::move(ranges)), pages_(pages) {}

    std::vector<memory::GuestRange> ranges_;  // in the order of CPUID
    uint32_t pages_;
};

}  // namespace alcove::sgx

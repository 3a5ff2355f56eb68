// SPDX-License-Identifier: Apache-2.0
//
// Guest-physical addresses, as a type of their own: they do not mix with sizes, host pointers or other
// addresses by accident.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>

#include "support/checked.hpp"

namespace alcove::memory {

class GuestAddress {
  public:
    constexpr GuestAddress() = default;
    constexpr explicit GuestAddress(uint64_t value) : value_(value) {}

    constexpr uint64_t value() const { return value_; }
    constexpr auto operator<=>(const GuestAddress&) const = default;

    // Nothing when the sum leaves the 64-bit space.
    constexpr std::optional<GuestAddress> plus(uint64_t bytes) const {
        const auto sum = checked_add(value_, bytes);
        if (!sum) return std::nullopt;
        return GuestAddress(*sum);
    }

  private:
    uint64_t value_ = 0;
};

// [base, base + size), size > 0, not wrapping: checked where it is built from numbers of the guest's.
struct GuestRange {
    GuestAddress base;
    uint64_t size = 0;

    constexpr uint64_t end() const { return base.value() + size; }
    constexpr bool contains(GuestAddress address) const {
        return address >= base && address.value() - base.value() < size;
    }
    constexpr bool overlaps(const GuestRange& other) const {
        return base.value() < other.end() && other.base.value() < end();
    }
    constexpr bool operator==(const GuestRange&) const = default;
};

}  // namespace alcove::memory

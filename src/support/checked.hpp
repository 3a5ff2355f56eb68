// SPDX-License-Identifier: Apache-2.0
//
// Arithmetic on numbers that came from outside. Nothing here wraps silently.
#pragma once

#include <concepts>
#include <limits>
#include <optional>
#include <utility>

namespace alcove {

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_add(T a, T b) {
    T sum{};
    if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
    return sum;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_mul(T a, T b) {
    T product{};
    if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
    return product;
}

// Is [offset, offset + length) inside [0, size)? An empty range is inside when its offset is.
template <std::unsigned_integral T>
[[nodiscard]] constexpr bool range_within(T offset, T length, T size) {
    return offset <= size && length <= size - offset;
}

// The value in a narrower type, or nothing when it does not fit.
template <std::integral To, std::integral From>
[[nodiscard]] constexpr std::optional<To> checked_cast(From value) {
    if (!std::in_range<To>(value)) return std::nullopt;
    return static_cast<To>(value);
}

}  // namespace alcove

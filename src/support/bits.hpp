// SPDX-License-Identifier: Apache-2.0
//
// Sizes with units, alignment, and register fields. A Field names the bits of a register as its manual
// does, high bit first, and reads or replaces them in a plain integer:
//
//     using Dpl = Field<uint32_t, 14, 13>;
//     if (Dpl::get(access) == 3) ...
//     access = Dpl::put(access, 0);
#pragma once

#include <concepts>
#include <cstdint>

namespace alcove {

constexpr uint64_t operator""_KiB(unsigned long long count) {
    return count << 10;
}
constexpr uint64_t operator""_MiB(unsigned long long count) {
    return count << 20;
}
constexpr uint64_t operator""_GiB(unsigned long long count) {
    return count << 30;
}

// `alignment` is a power of two. align_up wraps at the top of the type: check the range first.
template <std::unsigned_integral T>
constexpr T align_down(T value, T alignment) {
    return value & ~(alignment - 1);
}
template <std::unsigned_integral T>
constexpr T align_up(T value, T alignment) {
    return align_down<T>(value + alignment - 1, alignment);
}
template <std::unsigned_integral T>
constexpr bool is_aligned(T value, T alignment) {
    return (value & (alignment - 1)) == 0;
}

template <std::unsigned_integral T>
constexpr T bit(unsigned index) {
    return static_cast<T>(T{1} << index);
}

template <std::unsigned_integral Int, unsigned High, unsigned Low>
struct Field {
    static_assert(High >= Low && High < sizeof(Int) * 8);
    static constexpr Int kMask = static_cast<Int>(
        (High - Low + 1 == sizeof(Int) * 8 ? ~Int{0} : static_cast<Int>((Int{1} << (High - Low + 1)) - 1))
        << Low);

    static constexpr Int get(Int reg) { return static_cast<Int>((reg & kMask) >> Low); }
    static constexpr Int put(Int reg, Int value) {
        return static_cast<Int>((reg & ~kMask) | (static_cast<Int>(value << Low) & kMask));
    }
};

}  // namespace alcove

// SPDX-License-Identifier: Apache-2.0
//
// Integers as they lie in files, packets and guest memory: byte arrays of alignment 1 that read and write
// as plain integers. Structures made of them have no padding and need no `packed`, and no logic calls a
// byte-order function.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace alcove {

template <std::unsigned_integral Int, std::endian Order>
class Wire {
  public:
    constexpr Wire() = default;
    constexpr Wire(Int value) { store(value); }        // NOLINT(google-explicit-constructor)
    constexpr operator Int() const { return load(); }  // NOLINT(google-explicit-constructor)
    constexpr Wire& operator=(Int value) {
        store(value);
        return *this;
    }

  private:
    static constexpr Int swap(Int value) {
        if constexpr (Order == std::endian::native) return value;
        if constexpr (sizeof(Int) == 2) return __builtin_bswap16(value);
        if constexpr (sizeof(Int) == 4) return __builtin_bswap32(value);
        if constexpr (sizeof(Int) == 8) return __builtin_bswap64(value);
    }
    constexpr Int load() const { return swap(std::bit_cast<Int>(bytes_)); }
    constexpr void store(Int value) { bytes_ = std::bit_cast<std::array<uint8_t, sizeof(Int)>>(swap(value)); }

    std::array<uint8_t, sizeof(Int)> bytes_{};
};

using Le16 = Wire<uint16_t, std::endian::little>;
using Le32 = Wire<uint32_t, std::endian::little>;
using Le64 = Wire<uint64_t, std::endian::little>;
using Be16 = Wire<uint16_t, std::endian::big>;
using Be32 = Wire<uint32_t, std::endian::big>;
using Be64 = Wire<uint64_t, std::endian::big>;

static_assert(sizeof(Le64) == 8 && alignof(Le64) == 1);

}  // namespace alcove

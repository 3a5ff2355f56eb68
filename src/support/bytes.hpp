// SPDX-License-Identifier: Apache-2.0
//
// Views of raw bytes, and the way from and to trivially copyable values.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace alcove {

using Bytes = std::vector<uint8_t>;
using ByteView = std::span<const uint8_t>;
using MutableByteView = std::span<uint8_t>;

inline ByteView as_byte_view(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline std::string_view as_text(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline Bytes to_bytes(ByteView view) {
    return Bytes(view.begin(), view.end());
}

// The bytes of a value without padding, so that nothing of ours leaks with it.
template <typename T>
requires(std::is_trivially_copyable_v<T>&& std::has_unique_object_representations_v<T>) ByteView
    object_bytes(const T& value) {
    return {reinterpret_cast<const uint8_t*>(&value), sizeof(T)};
}

// A copy of the structure at `offset`, or nothing when it does not lie inside whole.
template <typename T>
requires std::is_trivially_copyable_v<T> std::optional<T> read_object(ByteView bytes, uint64_t offset = 0) {
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
}

}  // namespace alcove

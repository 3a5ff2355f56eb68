// SPDX-License-Identifier: Apache-2.0
//
// A short text in a fixed place of a message: its bytes, then zeros up to the field's end. A field that is
// full has no zero at all.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "support/check.hpp"

namespace alcove::api {

template <size_t Size>
class TextField {
  public:
    constexpr TextField() = default;
    // For texts known to fit; a longer one is our own mistake.
    static TextField of(std::string_view text) {
        ALCOVE_CHECK(text.size() <= Size, "the text fits its field");
        TextField field;
        std::ranges::copy(text, field.bytes_.begin());
        return field;
    }

    // The text, or nothing when something other than zeros follows its end. Points into this field.
    std::optional<std::string_view> text() const {
        const auto end = std::ranges::find(bytes_, '\0');
        if (std::ranges::any_of(end, bytes_.end(), [](char byte) { return byte != '\0'; }))
            return std::nullopt;
        return std::string_view(bytes_.data(), static_cast<size_t>(end - bytes_.begin()));
    }

  private:
    std::array<char, Size> bytes_{};
};

}  // namespace alcove::api

// SPDX-License-Identifier: Apache-2.0
//
// What each error code means and what to do about it: the text behind `alcove explain` and behind the
// remedy line of every error that is shown.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "support/error.hpp"

namespace alcove {

struct ErrorEntry {
    ErrorCode code;
    std::string_view name;     // stable, for programs: "image-crc"
    std::string_view meaning;  // one or two sentences
    std::string_view remedy;   // what to do next
};

std::span<const ErrorEntry> error_catalog();  // by ascending code
const ErrorEntry& error_entry(ErrorCode code);

// "E33", "e33" or the name; nothing when there is no such code.
std::optional<ErrorEntry> find_error(std::string_view label_or_name);

}  // namespace alcove

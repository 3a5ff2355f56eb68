// SPDX-License-Identifier: Apache-2.0
//
// The door to the JSON library: parsing within limits and without exceptions, dumping, and getters that
// name the field they miss. Objects keep the order they were written in. This header has only the forward
// declarations; include <nlohmann/json.hpp> in a source file that builds or walks values. There, use only
// what can not throw: is_*(), find(), iteration, get_ref after is_*(), and building.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "support/result.hpp"

namespace alcove::codec::json {

using Json = nlohmann::ordered_json;

struct Limits {
    size_t bytes = 1024 * 1024;
    size_t depth = 32;
};

// LimitExceeded, or JsonMalformed for anything but one JSON text in UTF-8. A name that stands twice in an
// object is refused: two readers could choose differently.
Result<Json> parse(std::string_view text, const Limits& limits = {});

// Invalid UTF-8 comes out as U+FFFD.
std::string dump(const Json& value);         // one line
std::string dump_pretty(const Json& value);  // indented by two, ends with a newline

// The field `name` of an object: JsonMalformed when `object` is none, the field is missing or of another
// kind, or the number does not fit.
Result<std::string> text_field(const Json& object, std::string_view name);
Result<bool> boolean_field(const Json& object, std::string_view name);
Result<uint64_t> unsigned_field(const Json& object, std::string_view name);
Result<const Json*> object_field(const Json& object, std::string_view name);  // borrowed from `object`
Result<const Json*> array_field(const Json& object, std::string_view name);

// As above, but a missing field and null are nothing.
Result<std::optional<std::string>> optional_text_field(const Json& object, std::string_view name);
Result<std::optional<bool>> optional_boolean_field(const Json& object, std::string_view name);
Result<std::optional<uint64_t>> optional_unsigned_field(const Json& object, std::string_view name);
Result<const Json*> optional_object_field(const Json& object, std::string_view name);  // nullptr
Result<const Json*> optional_array_field(const Json& object, std::string_view name);   // nullptr

// No field but those: JsonMalformed when `object` is none, InvalidArgument names the first other one.
Result<void> check_fields(const Json& object, std::span<const std::string_view> known);

}  // namespace alcove::codec::json

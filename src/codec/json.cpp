// SPDX-License-Identifier: Apache-2.0
//
// parse() feeds the library's event parser into a builder of ours: it reports errors by a call instead of
// a throw, and the builder sees depth and repeated names as they come.
#include "codec/json.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include <nlohmann/json.hpp>

namespace alcove::codec::json {

namespace {

class Builder : public nlohmann::json_sax<Json> {
  public:
    explicit Builder(size_t max_depth) : max_depth_(max_depth) {}

    Json& root() { return root_; }
    std::optional<Error>& failure() { return failure_; }

    bool null() override { return place(Json()) != nullptr; }
    bool boolean(bool value) override { return place(Json(value)) != nullptr; }
    bool number_integer(number_integer_t value) override { return place(Json(value)) != nullptr; }
    bool number_unsigned(number_unsigned_t value) override { return place(Json(value)) != nullptr; }
    bool number_float(number_float_t value, const string_t&) override {
        return place(Json(value)) != nullptr;
    }
    bool string(string_t& value) override { return place(Json(std::move(value))) != nullptr; }
    bool binary(binary_t&) override { return false; }  // no JSON text has one

    bool start_object(std::size_t) override { return open(Json::object()); }
    bool start_array(std::size_t) override { return open(Json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool key(string_t& name) override {
        if (!open_.back().names.insert(name).second) return refuse("an object has \"" + name + "\" twice");
        name_ = std::move(name);
        return true;
    }

    bool parse_error(std::size_t position, const std::string& token,
                     const nlohmann::detail::exception&) override {
        return refuse("JSON goes wrong at byte " + std::to_string(position) +
                      (token.empty() ? "" : ", at \"" + token.substr(0, 40) + "\""));
    }

  private:
    bool refuse(std::string message, ErrorCode code = ErrorCode::JsonMalformed) {
        if (!failure_) failure_ = Error(code, std::move(message));
        return false;
    }

    // Pointers into open containers stay good: a container grows only while it is the innermost. An object's
    // own lookup is a walk over all its fields, so names are kept in a set of ours while it is open.
    struct Open {
        Json* container;
        std::set<std::string> names;
    };

    Json* place(Json value) {
        if (open_.empty()) {
            root_ = std::move(value);
            return &root_;
        }
        Json& parent = *open_.back().container;
        if (parent.is_array()) {
            parent.push_back(std::move(value));
            return &parent.back();
        }
        return &parent.get_ref<Json::object_t&>().emplace_back(name_, std::move(value)).second;
    }

    bool open(Json container) {
        if (open_.size() >= max_depth_)
            return refuse("JSON nested deeper than " + std::to_string(max_depth_), ErrorCode::LimitExceeded);
        open_.push_back(Open{place(std::move(container)), {}});
        return true;
    }

    bool close() {
        open_.pop_back();
        return true;
    }

    size_t max_depth_;
    Json root_;
    std::vector<Open> open_;
    std::string name_;
    std::optional<Error> failure_;
};

Failure wrong(std::string_view name, std::string_view wanted) {
    return fail(ErrorCode::JsonMalformed,
                "the field \"" + std::string(name) + "\" has to be " + std::string(wanted));
}

// nullptr when it is missing or null.
Result<const Json*> find(const Json& object, std::string_view name) {
    if (!object.is_object())
        return fail(ErrorCode::JsonMalformed, "an object with \"" + std::string(name) + "\" is expected");
    const auto found = object.find(name);
    if (found == object.end() || found->is_null()) return nullptr;
    return &*found;
}

template <typename T>
Result<T> require(std::optional<T> value, std::string_view name) {
    if (!value) return fail(ErrorCode::JsonMalformed, "the field \"" + std::string(name) + "\" is missing");
    return std::move(*value);
}

Result<const Json*> require(const Json* value, std::string_view name) {
    if (value == nullptr)
        return fail(ErrorCode::JsonMalformed, "the field \"" + std::string(name) + "\" is missing");
    return value;
}

}  // namespace

Result<Json> parse(std::string_view text, const Limits& limits) {
    if (text.size() > limits.bytes)
        return fail(ErrorCode::LimitExceeded, "JSON of more than " + std::to_string(limits.bytes) + " bytes");
    Builder builder(limits.depth);
    const bool good = Json::sax_parse(text.begin(), text.end(), &builder);
    if (builder.failure()) return Failure{std::move(*builder.failure())};
    if (!good) return fail(ErrorCode::JsonMalformed, "not a JSON text");
    return std::move(builder.root());
}

std::string dump(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string dump_pretty(const Json& value) {
    return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<std::optional<std::string>> optional_text_field(const Json& object, std::string_view name) {
    const Json* field = TRY(find(object, name));
    if (field == nullptr) return std::optional<std::string>();
    if (!field->is_string()) return wrong(name, "a string");
    return std::optional<std::string>(field->get_ref<const std::string&>());
}

Result<std::optional<bool>> optional_boolean_field(const Json& object, std::string_view name) {
    const Json* field = TRY(find(object, name));
    if (field == nullptr) return std::optional<bool>();
    if (!field->is_boolean()) return wrong(name, "true or false");
    return std::optional<bool>(field->get<bool>());
}

Result<std::optional<uint64_t>> optional_unsigned_field(const Json& object, std::string_view name) {
    const Json* field = TRY(find(object, name));
    if (field == nullptr) return std::optional<uint64_t>();
    // A value that a program built from a signed integer counts too.
    if (field->is_number_unsigned()) return std::optional<uint64_t>(field->get<uint64_t>());
    if (field->is_number_integer() && field->get<int64_t>() >= 0)
        return std::optional<uint64_t>(field->get<uint64_t>());
    return wrong(name, "an integer that is not negative");
}

Result<const Json*> optional_object_field(const Json& object, std::string_view name) {
    const Json* field = TRY(find(object, name));
    if (field != nullptr && !field->is_object()) return wrong(name, "an object");
    return field;
}

Result<const Json*> optional_array_field(const Json& object, std::string_view name) {
    const Json* field = TRY(find(object, name));
    if (field != nullptr && !field->is_array()) return wrong(name, "an array");
    return field;
}

Result<std::string> text_field(const Json& object, std::string_view name) {
    auto value = TRY(optional_text_field(object, name));
    return require(std::move(value), name);
}

Result<bool> boolean_field(const Json& object, std::string_view name) {
    const auto value = TRY(optional_boolean_field(object, name));
    return require(value, name);
}

Result<uint64_t> unsigned_field(const Json& object, std::string_view name) {
    const auto value = TRY(optional_unsigned_field(object, name));
    return require(value, name);
}

Result<const Json*> object_field(const Json& object, std::string_view name) {
    const Json* value = TRY(optional_object_field(object, name));
    return require(value, name);
}

Result<const Json*> array_field(const Json& object, std::string_view name) {
    const Json* value = TRY(optional_array_field(object, name));
    return require(value, name);
}

Result<void> check_fields(const Json& object, std::span<const std::string_view> known) {
    if (!object.is_object()) return fail(ErrorCode::JsonMalformed, "an object is expected");
    for (auto it = object.begin(); it != object.end(); ++it)
        if (std::ranges::find(known, it.key()) == known.end())
            return fail(ErrorCode::InvalidArgument, "unknown field '" + it.key() + "'");
    return {};
}

}  // namespace alcove::codec::json

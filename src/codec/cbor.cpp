// SPDX-License-Identifier: Apache-2.0
//
// The value tree: kinds, typed getters, and encoding through the Writer.
#include "codec/cbor.hpp"

#include <algorithm>

#include "codec/cbor_writer.hpp"
#include "support/checked.hpp"

namespace alcove::codec::cbor {

namespace {

Failure wrong_kind(const Value& value, std::string_view wanted) {
    return fail(ErrorCode::CborMalformed,
                "a " + std::string(wanted) + " is expected, not a " + std::string(value.kind()));
}

Value key_value(std::string_view key) {
    return Value::text(key);
}
Value key_value(int64_t key) {
    return Value::integer(key);
}

template <typename Key>
const Value* find_key(std::span<const Entry> entries, Key key) {
    const Value wanted = key_value(key);
    const auto found = std::ranges::find(entries, wanted, &Entry::key);
    return found == entries.end() ? nullptr : &found->value;
}

}  // namespace

Map::Map() = default;
Map::Map(const Map&) = default;
Map::Map(Map&&) noexcept = default;
Map& Map::operator=(const Map&) = default;
Map& Map::operator=(Map&&) noexcept = default;
Map::~Map() = default;

Map& Map::add(Value key, Value value) {
    entries_.push_back(Entry{std::move(key), std::move(value)});
    return *this;
}

Map& Map::add(std::string_view key, Value value) {
    return add(Value::text(key), std::move(value));
}

std::span<const Entry> Map::entries() const {
    return entries_;
}

size_t Map::size() const {
    return entries_.size();
}

const Value* Map::find(std::string_view key) const {
    return find_key(entries(), key);
}

const Value* Map::find(int64_t key) const {
    return find_key(entries(), key);
}

Result<const Value*> Map::at(std::string_view key) const {
    const Value* found = find(key);
    if (found == nullptr)
        return fail(ErrorCode::CborMalformed, "the map has no \"" + std::string(key) + "\"");
    return found;
}

Result<const Value*> Map::at(int64_t key) const {
    const Value* found = find(key);
    if (found == nullptr) return fail(ErrorCode::CborMalformed, "the map has no key " + std::to_string(key));
    return found;
}

bool Map::operator==(const Map& other) const {
    return entries_ == other.entries_;
}

bool Tagged::operator==(const Tagged& other) const {
    return tag == other.tag && content == other.content;
}

Value Value::integer(int64_t value) {
    if (value >= 0) return unsigned_integer(static_cast<uint64_t>(value));
    return Value(Storage(Negative{static_cast<uint64_t>(-(value + 1))}));
}

Value Value::tagged(uint64_t tag, Value content) {
    Tagged tagged{tag, {}};
    tagged.content.push_back(std::move(content));
    return Value(Storage(std::move(tagged)));
}

std::string_view Value::kind() const {
    static constexpr std::string_view kKinds[] = {"null",
                                                  "undefined",
                                                  "boolean",
                                                  "unsigned integer",
                                                  "negative integer",
                                                  "float",
                                                  "byte string",
                                                  "text",
                                                  "array",
                                                  "map",
                                                  "tag"};
    static_assert(std::size(kKinds) == std::variant_size_v<Storage>);
    return kKinds[storage_.index()];
}

Result<uint64_t> Value::as_unsigned() const {
    if (const auto* found = std::get_if<uint64_t>(&storage_)) return *found;
    return wrong_kind(*this, "unsigned integer");
}

Result<int64_t> Value::as_integer() const {
    if (const auto* positive = std::get_if<uint64_t>(&storage_)) {
        if (const auto fitting = checked_cast<int64_t>(*positive)) return *fitting;
        return fail(ErrorCode::CborMalformed, "the integer is too large");
    }
    if (const auto* negative = std::get_if<Negative>(&storage_)) {
        if (const auto fitting = checked_cast<int64_t>(negative->argument)) return -1 - *fitting;
        return fail(ErrorCode::CborMalformed, "the integer is too small");
    }
    return wrong_kind(*this, "integer");
}

Result<bool> Value::as_boolean() const {
    if (const auto* found = std::get_if<bool>(&storage_)) return *found;
    return wrong_kind(*this, "boolean");
}

Result<ByteView> Value::as_bytes() const {
    if (const auto* found = std::get_if<Bytes>(&storage_)) return ByteView(*found);
    return wrong_kind(*this, "byte string");
}

Result<std::string_view> Value::as_text() const {
    if (const auto* found = std::get_if<std::string>(&storage_)) return std::string_view(*found);
    return wrong_kind(*this, "text");
}

Result<std::span<const Value>> Value::as_array() const {
    if (const auto* found = std::get_if<Array>(&storage_)) return std::span<const Value>(*found);
    return wrong_kind(*this, "array");
}

Result<const Map*> Value::as_map() const {
    if (const auto* found = std::get_if<Map>(&storage_)) return found;
    return wrong_kind(*this, "map");
}

Result<const Tagged*> Value::as_tagged() const {
    if (const auto* found = std::get_if<Tagged>(&storage_)) return found;
    return wrong_kind(*this, "tag");
}

Result<Bytes> Value::as_bytes_or_integers() const {
    if (const auto* found = std::get_if<Bytes>(&storage_)) return *found;
    const auto* items = std::get_if<Array>(&storage_);
    if (items == nullptr) return wrong_kind(*this, "byte string or array of integers");
    Bytes bytes;
    bytes.reserve(items->size());
    for (const Value& item : *items) {
        const uint64_t number = TRY(item.as_unsigned());
        const auto byte = checked_cast<uint8_t>(number);
        if (!byte)
            return fail(ErrorCode::CborMalformed, "an array that stands for bytes holds a larger number");
        bytes.push_back(*byte);
    }
    return bytes;
}

Value integers_of_bytes(ByteView bytes) {
    Array items;
    items.reserve(bytes.size());
    for (const uint8_t byte : bytes)
        items.push_back(Value::unsigned_integer(byte));
    return Value::array(std::move(items));
}

Bytes encode(const Value& value) {
    Writer writer;
    writer.value(value);
    return std::move(writer).take();
}

}  // namespace alcove::codec::cbor

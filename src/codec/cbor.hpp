// SPDX-License-Identifier: Apache-2.0
//
// CBOR (RFC 8949) as values: decode() makes a tree within limits, encode() writes it with the shortest
// heads, definite lengths and the order it was built in, which is what Rust's serde writes and what NSM
// replies, COSE structures and EIF signatures are made of. The caller of decode() names its limits: depth,
// items and bytes are checked before memory is spent on them, and nothing recurses over foreign input.
//
// Accepted on input: integers of any width, definite and indefinite lengths (chunked strings are joined),
// tags, floats, null, undefined, booleans. Refused: other simple values, text that is not UTF-8, trailing
// bytes (decode_first() takes them). How wide or indefinite something was is not kept: what is hashed or
// signed is the bytes as received, not a re-encoding.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::codec::cbor {

class Value;
struct Entry;

using Array = std::vector<Value>;

// Pairs in the order they were encoded or added. Keys may repeat unless Limits::duplicate_keys refuses
// it; find() gives the first.
class Map {
  public:
    Map();
    Map(const Map&);
    Map(Map&&) noexcept;
    Map& operator=(const Map&);
    Map& operator=(Map&&) noexcept;
    ~Map();

    Map& add(Value key, Value value);
    Map& add(std::string_view key, Value value);

    std::span<const Entry> entries() const;
    size_t size() const;
    // A borrowed pointer into this map, or nullptr.
    const Value* find(std::string_view key) const;
    const Value* find(int64_t key) const;
    // As find(), or CborMalformed with the key's name.
    Result<const Value*> at(std::string_view key) const;
    Result<const Value*> at(int64_t key) const;

    bool operator==(const Map&) const;

  private:
    std::vector<Entry> entries_;
};

// Major type 1 holds -1 - argument, which reaches below int64_t.
struct Negative {
    uint64_t argument;
    bool operator==(const Negative&) const = default;
};

struct Null {
    bool operator==(const Null&) const = default;
};
struct Undefined {
    bool operator==(const Undefined&) const = default;
};

struct Tagged {
    uint64_t tag;
    std::vector<Value> content;  // exactly one
    bool operator==(const Tagged&) const;
};

class Value {
  public:
    using Storage = std::variant<Null, Undefined, bool, uint64_t, Negative, double, Bytes, std::string, Array,
                                 Map, Tagged>;

    Value() = default;  // null
    explicit Value(Storage storage) : storage_(std::move(storage)) {}

    static Value null() { return {}; }
    static Value boolean(bool value) { return Value(Storage(value)); }
    static Value unsigned_integer(uint64_t value) { return Value(Storage(value)); }
    static Value integer(int64_t value);
    static Value bytes(ByteView value) { return Value(Storage(to_bytes(value))); }
    static Value text(std::string_view value) { return Value(Storage(std::string(value))); }
    static Value array(Array items) { return Value(Storage(std::move(items))); }
    static Value map(Map map) { return Value(Storage(std::move(map))); }
    static Value tagged(uint64_t tag, Value content);

    bool is_null() const { return std::holds_alternative<Null>(storage_); }
    bool is_text() const { return std::holds_alternative<std::string>(storage_); }
    bool is_map() const { return std::holds_alternative<Map>(storage_); }
    const Storage& storage() const { return storage_; }
    std::string_view kind() const;  // "byte string", for messages

    // Views are borrowed from this value; another kind is CborMalformed.
    Result<uint64_t> as_unsigned() const;
    Result<int64_t> as_integer() const;  // signed or unsigned, when it fits
    Result<bool> as_boolean() const;
    Result<ByteView> as_bytes() const;
    Result<std::string_view> as_text() const;
    Result<std::span<const Value>> as_array() const;
    Result<const Map*> as_map() const;
    Result<const Tagged*> as_tagged() const;
    // A byte string, or an array of integers 0..255: serde writes a byte vector so unless told otherwise.
    Result<Bytes> as_bytes_or_integers() const;

    bool operator==(const Value&) const = default;

  private:
    Storage storage_;
};

struct Entry {
    Value key;
    Value value;
    bool operator==(const Entry&) const = default;
};

// An array of integers, as serde writes a byte vector by default.
Value integers_of_bytes(ByteView bytes);

enum class DuplicateKeys { Accept, Refuse };

struct Limits {
    size_t bytes = 64 * 1024;  // of input
    size_t items = 16 * 1024;  // values, keys and chunks, at all depths
    size_t depth = 16;         // containers and tags around a value; at most kMaxDepth
    DuplicateKeys duplicate_keys = DuplicateKeys::Refuse;
};
// Values are destroyed and encoded recursively.
inline constexpr size_t kMaxDepth = 64;

// LimitExceeded, Truncated or CborMalformed on failure.
Result<Value> decode(ByteView input, const Limits& limits = {});

struct Prefix {
    Value value;
    size_t consumed;  // bytes
};
// The first item of `input`; what follows is the caller's.
Result<Prefix> decode_first(ByteView input, const Limits& limits = {});

Bytes encode(const Value& value);

}  // namespace alcove::codec::cbor

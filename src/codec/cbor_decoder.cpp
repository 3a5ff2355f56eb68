// SPDX-License-Identifier: Apache-2.0
//
// decode(): libcbor's streaming decoder names one head at a time, and a stack of our own builds the tree.
// The stack is what bounds the depth: libcbor's own tree builder has no such limit. Each callback either
// adds a finished value to the innermost open container or opens one; a container is closed as soon as it
// is full, and passed to the one around it.
#include <algorithm>
#include <optional>

#include <cbor/callbacks.h>
#include <cbor/streaming.h>

#include "codec/cbor.hpp"
#include "codec/utf8.hpp"

namespace alcove::codec::cbor {

namespace {

class Builder {
  public:
    Builder(ByteView input, const Limits& limits) : input_(input), limits_(limits) {}

    Result<Prefix> run();

  private:
    enum class Kind { Array, Map, Tag, ByteChunks, TextChunks };
    struct Frame {
        Kind kind;
        bool indefinite;
        uint64_t remaining;  // items, or a map's keys and values; not used when indefinite
        uint64_t tag = 0;
        Bytes chunks;
        std::vector<Value> items;  // a map's keys and values in turn
    };

    static Builder& self(void* context) { return *static_cast<Builder*>(context); }
    static cbor_callbacks callbacks();
    // Calls one callback with what begins `rest`.
    cbor_decoder_result next_head(ByteView rest);

    void refuse(ErrorCode code, std::string message) {
        if (!failure_) failure_ = Error(code, std::move(message));
    }
    void malformed(std::string message) { refuse(ErrorCode::CborMalformed, std::move(message)); }

    bool count_item();
    void add(Value value);    // a head that is a whole value
    void place(Value value);  // into the innermost container
    void add_string(Kind chunks_kind, ByteView content);
    void open(Frame frame);
    void open_sized(Kind kind, uint64_t count, uint64_t items_each);
    void end_indefinite();
    void close_full();
    Value finish(Frame frame);
    Value finish_map(Frame frame);
    bool has_duplicate_key(const Map& map) const;

    ByteView input_;
    const Limits& limits_;
    size_t position_ = 0;
    size_t items_ = 0;
    std::vector<Frame> stack_;
    std::optional<Value> root_;
    std::optional<Error> failure_;
};

bool Builder::count_item() {
    if (++items_ <= limits_.items) return true;
    refuse(ErrorCode::LimitExceeded, "CBOR with more than " + std::to_string(limits_.items) + " items");
    return false;
}

void Builder::add(Value value) {
    if (!count_item()) return;
    if (!stack_.empty() && (stack_.back().kind == Kind::ByteChunks || stack_.back().kind == Kind::TextChunks))
        return malformed("a chunked string holds something else than its chunks");
    place(std::move(value));
    close_full();
}

void Builder::place(Value value) {
    if (stack_.empty()) {
        root_ = std::move(value);
        return;
    }
    Frame& frame = stack_.back();
    frame.items.push_back(std::move(value));
    if (!frame.indefinite) --frame.remaining;
}

void Builder::add_string(Kind chunks_kind, ByteView content) {
    // Chunks of a text must be valid each by itself (RFC 8949, 3.2.3).
    if (chunks_kind == Kind::TextChunks && !is_utf8(as_text(content)))
        return malformed("a text is not UTF-8");
    if (!stack_.empty() && stack_.back().kind == chunks_kind) {
        if (!count_item()) return;
        Bytes& chunks = stack_.back().chunks;
        chunks.insert(chunks.end(), content.begin(), content.end());
        return;
    }
    add(chunks_kind == Kind::TextChunks ? Value::text(as_text(content)) : Value::bytes(content));
}

void Builder::open(Frame frame) {
    if (!count_item()) return;
    if (!stack_.empty() && (stack_.back().kind == Kind::ByteChunks || stack_.back().kind == Kind::TextChunks))
        return malformed("a chunked string holds something else than its chunks");
    if (stack_.size() >= std::min(limits_.depth, kMaxDepth))
        return refuse(ErrorCode::LimitExceeded,
                      "CBOR nested deeper than " + std::to_string(std::min(limits_.depth, kMaxDepth)));
    stack_.push_back(std::move(frame));
    close_full();
}

void Builder::open_sized(Kind kind, uint64_t count, uint64_t items_each) {
    // Every item takes a byte at least, so a count beyond the input is a lie; nothing was reserved for it.
    if (count > input_.size() / items_each)
        return refuse(ErrorCode::Truncated, "CBOR ends inside a container");
    open(
        Frame{.kind = kind, .indefinite = false, .remaining = count * items_each, .chunks = {}, .items = {}});
}

void Builder::end_indefinite() {
    if (stack_.empty() || !stack_.back().indefinite)
        return malformed("a break outside of anything of indefinite length");
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (frame.kind == Kind::Map && frame.items.size() % 2 != 0) return malformed("a map ends after a key");
    place(finish(std::move(frame)));
    close_full();
}

void Builder::close_full() {
    while (!failure_ && !stack_.empty() && !stack_.back().indefinite && stack_.back().remaining == 0) {
        Frame frame = std::move(stack_.back());
        stack_.pop_back();
        place(finish(std::move(frame)));
    }
}

Value Builder::finish(Frame frame) {
    switch (frame.kind) {
        case Kind::Array:
            return Value::array(std::move(frame.items));
        case Kind::Map:
            return finish_map(std::move(frame));
        case Kind::Tag:
            return Value::tagged(frame.tag, std::move(frame.items.front()));
        case Kind::ByteChunks:
            return Value(Value::Storage(std::move(frame.chunks)));
        case Kind::TextChunks:
            return Value::text(as_text(frame.chunks));
    }
    return {};
}

Value Builder::finish_map(Frame frame) {
    Map map;
    for (size_t index = 0; index + 1 < frame.items.size(); index += 2)
        map.add(std::move(frame.items[index]), std::move(frame.items[index + 1]));
    if (limits_.duplicate_keys == DuplicateKeys::Refuse && has_duplicate_key(map))
        malformed("a map has the same key twice");
    return Value::map(std::move(map));
}

bool Builder::has_duplicate_key(const Map& map) const {
    // By their encoding, sorted: a foreign map may be large, so no comparison of each with each.
    std::vector<std::string> keys;
    keys.reserve(map.size());
    for (const Entry& entry : map.entries())
        keys.emplace_back(as_text(encode(entry.key)));
    std::ranges::sort(keys);
    return std::ranges::adjacent_find(keys) != keys.end();
}

cbor_callbacks Builder::callbacks() {
    static constexpr auto kIndefinite = [](Kind kind) {
        return Frame{.kind = kind, .indefinite = true, .remaining = 0, .chunks = {}, .items = {}};
    };
    cbor_callbacks table = cbor_empty_callbacks;
    table.uint8 = [](void* c, uint8_t n) { self(c).add(Value::unsigned_integer(n)); };
    table.uint16 = [](void* c, uint16_t n) { self(c).add(Value::unsigned_integer(n)); };
    table.uint32 = [](void* c, uint32_t n) { self(c).add(Value::unsigned_integer(n)); };
    table.uint64 = [](void* c, uint64_t n) { self(c).add(Value::unsigned_integer(n)); };
    table.negint8 = [](void* c, uint8_t n) { self(c).add(Value(Negative{n})); };
    table.negint16 = [](void* c, uint16_t n) { self(c).add(Value(Negative{n})); };
    table.negint32 = [](void* c, uint32_t n) { self(c).add(Value(Negative{n})); };
    table.negint64 = [](void* c, uint64_t n) { self(c).add(Value(Negative{n})); };
    table.byte_string = [](void* c, cbor_data data, size_t length) {
        self(c).add_string(Kind::ByteChunks, ByteView(data, length));
    };
    table.string = [](void* c, cbor_data data, size_t length) {
        self(c).add_string(Kind::TextChunks, ByteView(data, length));
    };
    table.byte_string_start = [](void* c) { self(c).open(kIndefinite(Kind::ByteChunks)); };
    table.string_start = [](void* c) { self(c).open(kIndefinite(Kind::TextChunks)); };
    table.indef_array_start = [](void* c) { self(c).open(kIndefinite(Kind::Array)); };
    table.indef_map_start = [](void* c) { self(c).open(kIndefinite(Kind::Map)); };
    table.array_start = [](void* c, size_t count) { self(c).open_sized(Kind::Array, count, 1); };
    table.map_start = [](void* c, size_t count) { self(c).open_sized(Kind::Map, count, 2); };
    table.tag = [](void* c, uint64_t tag) {
        self(c).open(Frame{
            .kind = Kind::Tag, .indefinite = false, .remaining = 1, .tag = tag, .chunks = {}, .items = {}});
    };
    table.float2 = [](void* c, float number) { self(c).add(Value(Value::Storage(double{number}))); };
    table.float4 = [](void* c, float number) { self(c).add(Value(Value::Storage(double{number}))); };
    table.float8 = [](void* c, double number) { self(c).add(Value(Value::Storage(number))); };
    table.undefined = [](void* c) { self(c).add(Value(Value::Storage(Undefined{}))); };
    table.null = [](void* c) { self(c).add(Value::null()); };
    table.boolean = [](void* c, bool flag) { self(c).add(Value::boolean(flag)); };
    table.indef_break = [](void* c) { self(c).end_indefinite(); };
    return table;
}

cbor_decoder_result Builder::next_head(ByteView rest) {
    static const cbor_callbacks kCallbacks = callbacks();
    // libcbor 0.8 refuses most tags below 24, among them 18, which is COSE_Sign1.
    constexpr uint8_t kFirstTag = 0xC0;
    constexpr uint8_t kLastShortTag = 0xD7;
    if (!rest.empty() && rest[0] >= kFirstTag && rest[0] <= kLastShortTag) {
        kCallbacks.tag(this, static_cast<uint64_t>(rest[0] - kFirstTag));
        return {.read = 1, .status = CBOR_DECODER_FINISHED, .required = 0};
    }
    return cbor_stream_decode(rest.data(), rest.size(), &kCallbacks, this);
}

Result<Prefix> Builder::run() {
    if (input_.size() > limits_.bytes)
        return fail(ErrorCode::LimitExceeded,
                    "CBOR of more than " + std::to_string(limits_.bytes) + " bytes");
    while (!root_) {
        const ByteView rest = input_.subspan(position_);
        const cbor_decoder_result step = next_head(rest);
        if (failure_) {
            const std::string where = "CBOR at byte " + std::to_string(position_);
            return Failure{std::move(*failure_).context(where)};
        }
        if (step.status == CBOR_DECODER_NEDATA)
            return fail(ErrorCode::Truncated,
                        "CBOR ends early, after " + std::to_string(input_.size()) + " bytes");
        if (step.status != CBOR_DECODER_FINISHED)
            return fail(ErrorCode::CborMalformed, "no CBOR item begins at byte " + std::to_string(position_));
        position_ += step.read;
    }
    return Prefix{std::move(*root_), position_};
}

}  // namespace

Result<Prefix> decode_first(ByteView input, const Limits& limits) {
    return Builder(input, limits).run();
}

Result<Value> decode(ByteView input, const Limits& limits) {
    Prefix prefix = TRY(decode_first(input, limits));
    if (prefix.consumed != input.size())
        return fail(ErrorCode::CborMalformed,
                    "CBOR is followed by " + std::to_string(input.size() - prefix.consumed) + " more bytes");
    return std::move(prefix.value);
}

}  // namespace alcove::codec::cbor

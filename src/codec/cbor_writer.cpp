// SPDX-License-Identifier: Apache-2.0
//
// Heads come from libcbor's encoders, which choose the width; strings are appended behind them.
#include "codec/cbor_writer.hpp"

#include <array>

#include <cbor/encoding.h>

#include "support/check.hpp"

namespace alcove::codec::cbor {

namespace {

// A head is one byte and at most eight of argument.
template <typename Encoder>
void append_head(Bytes& bytes, Encoder&& encoder) {
    std::array<uint8_t, 9> head;
    const size_t length = encoder(head.data(), head.size());
    ALCOVE_CHECK(length > 0 && length <= head.size(), "nine bytes hold any CBOR head");
    bytes.insert(bytes.end(), head.begin(), head.begin() + static_cast<std::ptrdiff_t>(length));
}

}  // namespace

Writer& Writer::unsigned_integer(uint64_t value) {
    append_head(bytes_, [=](uint8_t* out, size_t size) { return cbor_encode_uint(value, out, size); });
    return *this;
}

Writer& Writer::integer(int64_t value) {
    if (value >= 0) return unsigned_integer(static_cast<uint64_t>(value));
    const auto argument = static_cast<uint64_t>(-(value + 1));
    append_head(bytes_, [=](uint8_t* out, size_t size) { return cbor_encode_negint(argument, out, size); });
    return *this;
}

Writer& Writer::bytes(ByteView value) {
    const size_t length = value.size();
    append_head(bytes_,
                [=](uint8_t* out, size_t size) { return cbor_encode_bytestring_start(length, out, size); });
    return raw(value);
}

Writer& Writer::text(std::string_view value) {
    const size_t length = value.size();
    append_head(bytes_,
                [=](uint8_t* out, size_t size) { return cbor_encode_string_start(length, out, size); });
    return raw(as_byte_view(value));
}

Writer& Writer::boolean(bool value) {
    append_head(bytes_, [=](uint8_t* out, size_t size) { return cbor_encode_bool(value, out, size); });
    return *this;
}

Writer& Writer::null() {
    append_head(bytes_, cbor_encode_null);
    return *this;
}

Writer& Writer::undefined() {
    append_head(bytes_, cbor_encode_undef);
    return *this;
}

Writer& Writer::float64(double value) {
    append_head(bytes_, [=](uint8_t* out, size_t size) { return cbor_encode_double(value, out, size); });
    return *this;
}

Writer& Writer::tag(uint64_t tag) {
    append_head(bytes_, [=](uint8_t* out, size_t size) { return cbor_encode_tag(tag, out, size); });
    return *this;
}

Writer& Writer::array(size_t items) {
    append_head(bytes_, [=](uint8_t* out, size_t size) { return cbor_encode_array_start(items, out, size); });
    return *this;
}

Writer& Writer::map(size_t pairs) {
    append_head(bytes_, [=](uint8_t* out, size_t size) { return cbor_encode_map_start(pairs, out, size); });
    return *this;
}

Writer& Writer::indefinite_array() {
    append_head(bytes_, cbor_encode_indef_array_start);
    return *this;
}

Writer& Writer::indefinite_map() {
    append_head(bytes_, cbor_encode_indef_map_start);
    return *this;
}

Writer& Writer::end_indefinite() {
    append_head(bytes_, cbor_encode_break);
    return *this;
}

Writer& Writer::raw(ByteView encoded) {
    bytes_.insert(bytes_.end(), encoded.begin(), encoded.end());
    return *this;
}

Writer& Writer::value(const Value& value) {
    struct Visitor {
        Writer& writer;
        void operator()(Null) const { writer.null(); }
        void operator()(Undefined) const { writer.undefined(); }
        void operator()(bool flag) const { writer.boolean(flag); }
        void operator()(uint64_t number) const { writer.unsigned_integer(number); }
        void operator()(Negative negative) const {
            append_head(writer.bytes_, [=](uint8_t* out, size_t size) {
                return cbor_encode_negint(negative.argument, out, size);
            });
        }
        void operator()(double number) const { writer.float64(number); }
        void operator()(const Bytes& bytes) const { writer.bytes(bytes); }
        void operator()(const std::string& text) const { writer.text(text); }
        void operator()(const Array& items) const {
            writer.array(items.size());
            for (const Value& item : items)
                writer.value(item);
        }
        void operator()(const Map& map) const {
            writer.map(map.size());
            for (const Entry& entry : map.entries())
                writer.value(entry.key).value(entry.value);
        }
        void operator()(const Tagged& tagged) const {
            ALCOVE_CHECK(tagged.content.size() == 1, "a tag has one content");
            writer.tag(tagged.tag).value(tagged.content.front());
        }
    };
    std::visit(Visitor{*this}, value.storage());
    return *this;
}

}  // namespace alcove::codec::cbor

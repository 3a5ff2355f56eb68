// SPDX-License-Identifier: Apache-2.0
#include "boot/aml.hpp"

#include <initializer_list>

#include "support/check.hpp"
#include "support/endian.hpp"

namespace alcove::boot::aml {

namespace {

constexpr uint8_t kZeroOp = 0x00;
constexpr uint8_t kOneOp = 0x01;
constexpr uint8_t kNameOp = 0x08;
constexpr uint8_t kBytePrefix = 0x0a;
constexpr uint8_t kWordPrefix = 0x0b;
constexpr uint8_t kDWordPrefix = 0x0c;
constexpr uint8_t kStringPrefix = 0x0d;
constexpr uint8_t kQWordPrefix = 0x0e;
constexpr uint8_t kScopeOp = 0x10;
constexpr uint8_t kBufferOp = 0x11;
constexpr uint8_t kPackageOp = 0x12;
constexpr uint8_t kExtOpPrefix = 0x5b;
constexpr uint8_t kDeviceOp = 0x82;

void append(Bytes& to, ByteView from) {
    to.insert(to.end(), from.begin(), from.end());
}

// ACPI 6.5, 20.2.4: the length counts its own bytes, hence the search for how many it takes.
Bytes with_package_length(ByteView body) {
    Bytes result;
    for (unsigned extra = 0; extra <= 3; ++extra) {
        const size_t length = body.size() + 1 + extra;
        const size_t limit = extra == 0 ? 0x40 : size_t{1} << (4 + 8 * extra);
        if (length >= limit) continue;
        if (extra == 0) {
            result.push_back(static_cast<uint8_t>(length));
        } else {
            result.push_back(static_cast<uint8_t>((extra << 6) | (length & 0x0f)));
            for (unsigned i = 0; i < extra; ++i)
                result.push_back(static_cast<uint8_t>(length >> (4 + 8 * i)));
        }
        append(result, body);
        return result;
    }
    ALCOVE_CHECK(false, "an AML package has less than 2^28 bytes");
}

}  // namespace

Bytes concat(std::initializer_list<ByteView> terms) {
    Bytes result;
    for (const auto& term : terms)
        append(result, term);
    return result;
}

Bytes integer(uint64_t value) {
    if (value == 0) return {kZeroOp};
    if (value == 1) return {kOneOp};
    const auto encoded = [](uint8_t prefix, ByteView bytes) { return concat({ByteView(&prefix, 1), bytes}); };
    if (value <= 0xff) return {kBytePrefix, static_cast<uint8_t>(value)};
    if (value <= 0xffff) return encoded(kWordPrefix, object_bytes(Le16(static_cast<uint16_t>(value))));
    if (value <= 0xffff'ffff) return encoded(kDWordPrefix, object_bytes(Le32(static_cast<uint32_t>(value))));
    return encoded(kQWordPrefix, object_bytes(Le64(value)));
}

Bytes string(std::string_view text) {
    Bytes result{kStringPrefix};
    append(result, as_byte_view(text));
    result.push_back(0);
    return result;
}

// ACPI 6.5, 19.3.4: three letters of five bits, four hex digits, as a big-endian 32-bit number.
Bytes eisa_id(std::string_view id) {
    ALCOVE_CHECK(id.size() == 7, "an EISA id is three letters and four digits");
    const auto letter = [&](size_t i) { return static_cast<uint32_t>(id[i] - 'A' + 1) & 0x1f; };
    const auto digit = [&](size_t i) {
        return static_cast<uint32_t>(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10) & 0xf;
    };
    const uint32_t value = letter(0) << 26 | letter(1) << 21 | letter(2) << 16 | digit(3) << 12 |
                           digit(4) << 8 | digit(5) << 4 | digit(6);
    const Be32 big_endian(value);
    const uint8_t prefix = kDWordPrefix;
    return concat({ByteView(&prefix, 1), object_bytes(big_endian)});
}

Bytes name(std::string_view segment, ByteView value) {
    ALCOVE_CHECK(segment.size() == 4, "a name segment has four characters");
    return concat({Bytes{kNameOp}, as_byte_view(segment), value});
}

Bytes package(std::initializer_list<Bytes> elements) {
    Bytes body{static_cast<uint8_t>(elements.size())};
    for (const auto& element : elements)
        append(body, element);
    return concat({Bytes{kPackageOp}, with_package_length(body)});
}

Bytes device(std::string_view segment, ByteView body) {
    ALCOVE_CHECK(segment.size() == 4, "a name segment has four characters");
    return concat(
        {Bytes{kExtOpPrefix, kDeviceOp}, with_package_length(concat({as_byte_view(segment), body}))});
}

Bytes scope(std::string_view path, ByteView body) {
    return concat({Bytes{kScopeOp}, with_package_length(concat({as_byte_view(path), body}))});
}

Bytes resource_template(ByteView descriptors) {
    // The end tag's checksum may be zero: "treat as good" (ACPI 6.5, 6.4.2.9).
    const Bytes content = concat({descriptors, Bytes{0x79, 0x00}});
    return concat({Bytes{kBufferOp}, with_package_length(concat({integer(content.size()), content}))});
}

Bytes io_port(uint16_t base, uint8_t length) {
    const Le16 address(base);
    return concat({Bytes{0x47, 0x01}, object_bytes(address), object_bytes(address), Bytes{0x01, length}});
}

Bytes memory32(uint32_t base, uint32_t length) {
    return concat({Bytes{0x86, 0x09, 0x00, 0x01}, object_bytes(Le32(base)), object_bytes(Le32(length))});
}

Bytes edge_interrupt(uint32_t gsi) {
    return concat({Bytes{0x89, 0x06, 0x00, 0x03, 0x01}, object_bytes(Le32(gsi))});
}

// Address space descriptors, ACPI 6.5, 6.4.3.5: positively decoded, both ends fixed.
namespace {

constexpr uint8_t kMemoryRange = 0;
constexpr uint8_t kBusNumberRange = 2;
constexpr uint8_t kFixedRange = 0x0c;
constexpr uint8_t kConsumed = 0x01;
constexpr uint8_t kCacheable = 0x02;
constexpr uint8_t kReadWrite = 0x01;
constexpr uint8_t kPrefetchable = 0x06;

// Granularity, minimum, maximum, translation, length, each of the descriptor's width.
template <typename Int>
Bytes address_space(uint8_t tag, uint8_t type, uint8_t type_flags, uint64_t base, uint64_t length,
                    uint8_t usage = 0) {
    Bytes body{type, static_cast<uint8_t>(kFixedRange | usage), type_flags};
    for (const uint64_t value : {uint64_t{0}, base, base + length - 1, uint64_t{0}, length})
        append(body, object_bytes(Wire<Int, std::endian::little>(static_cast<Int>(value))));
    return concat({Bytes{tag}, object_bytes(Le16(static_cast<uint16_t>(body.size()))), body});
}

}  // namespace

Bytes memory64(uint64_t base, uint64_t length) {
    return address_space<uint64_t>(0x8a, kMemoryRange, kReadWrite | kCacheable, base, length, kConsumed);
}

Bytes bus_numbers(uint16_t first, uint16_t count) {
    return address_space<uint16_t>(0x88, kBusNumberRange, 0, first, count);
}

Bytes memory_window32(uint32_t base, uint32_t length) {
    return address_space<uint32_t>(0x87, kMemoryRange, kReadWrite, base, length);
}

Bytes memory_window64(uint64_t base, uint64_t length) {
    return address_space<uint64_t>(0x8a, kMemoryRange, kReadWrite | kPrefetchable, base, length);
}

}  // namespace alcove::boot::aml

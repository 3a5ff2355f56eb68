// SPDX-License-Identifier: Apache-2.0
//
// Writes CBOR straight into bytes, for replies whose shape is known: no tree, one buffer. Heads are the
// shortest that hold their number. The caller writes as many items as an array or map head announced.
//
//     Writer writer;
//     writer.map(1).text("GetRandom").map(1).text("random").bytes(random);
#pragma once

#include <cstdint>
#include <string_view>

#include "codec/cbor.hpp"
#include "support/bytes.hpp"

namespace alcove::codec::cbor {

class Writer {
  public:
    Writer& unsigned_integer(uint64_t value);
    Writer& integer(int64_t value);
    Writer& bytes(ByteView value);
    Writer& text(std::string_view value);
    Writer& boolean(bool value);
    Writer& null();
    Writer& undefined();
    Writer& float64(double value);
    Writer& tag(uint64_t tag);
    Writer& array(size_t items);
    Writer& map(size_t pairs);

    // Indefinite lengths: items follow until end_indefinite().
    Writer& indefinite_array();
    Writer& indefinite_map();
    Writer& end_indefinite();

    Writer& value(const Value& value);
    // Already encoded items, as they are.
    Writer& raw(ByteView encoded);

    ByteView view() const { return bytes_; }
    Bytes take() && { return std::move(bytes_); }

  private:
    Bytes bytes_;
};

}  // namespace alcove::codec::cbor

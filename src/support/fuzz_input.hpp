// SPDX-License-Identifier: Apache-2.0
//
// For fuzzers: the input as a supply of numbers and bytes, zeros and nothing once it is used up.
#pragma once

#include <algorithm>
#include <cstdint>

#include "support/bytes.hpp"

namespace alcove {

class FuzzInput {
  public:
    explicit FuzzInput(ByteView bytes) : bytes_(bytes) {}

    bool is_empty() const { return bytes_.empty(); }
    uint8_t byte() {
        const ByteView one = take(1);
        return one.empty() ? uint8_t{0} : one.front();
    }
    // Of so many bytes, the least one first.
    uint64_t number(size_t bytes) {
        uint64_t value = 0;
        for (size_t i = 0; i < bytes; ++i)
            value |= uint64_t{byte()} << (8 * i);
        return value;
    }
    // What there is of so many bytes.
    ByteView take(size_t count) {
        const ByteView part = bytes_.first(std::min(count, bytes_.size()));
        bytes_ = bytes_.subspan(part.size());
        return part;
    }

  private:
    ByteView bytes_;
};

}  // namespace alcove

// SPDX-License-Identifier: Apache-2.0
//
// What tests send through streams.
#pragma once

#include "support/bytes.hpp"

namespace alcove::vsock {

// A stream of bytes that is known at every offset, and whoever reads it checks it.
class Pattern {
  public:
    explicit Pattern(uint64_t seed) : seed_(seed) {}
    uint8_t at(uint64_t offset) const {
        return static_cast<uint8_t>(((offset + seed_) * 0x9e3779b97f4a7c15ULL) >> 56);
    }
    Bytes part(uint64_t offset, size_t size) const {
        Bytes bytes(size);
        for (size_t i = 0; i < size; ++i)
            bytes[i] = at(offset + i);
        return bytes;
    }
    bool matches(uint64_t offset, ByteView bytes) const {
        for (size_t i = 0; i < bytes.size(); ++i)
            if (bytes[i] != at(offset + i)) return false;
        return true;
    }

  private:
    uint64_t seed_;
};

}  // namespace alcove::vsock

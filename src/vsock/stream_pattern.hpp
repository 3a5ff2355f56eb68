// SPDX-License-Identifier: Apache-2.0
//
// What tests send through streams.
#pragma once

#include <algorithm>
#include <cstring>

#include "support/bytes.hpp"

namespace alcove::vsock {

// A stream of bytes that is known at every offset, and whoever reads it checks it. It repeats itself after a
// prime number of bytes, so that no piece of a usual size is like one in its place.
class Pattern {
  public:
    explicit Pattern(uint64_t seed) : seed_(seed) {}
    Bytes part(uint64_t offset, size_t size) const {
        Bytes bytes(size);
        for (size_t done = 0; done < size;) {
            const auto piece = piece_at(offset + done, size - done);
            std::memcpy(bytes.data() + done, piece.data(), piece.size());
            done += piece.size();
        }
        return bytes;
    }
    bool matches(uint64_t offset, ByteView bytes) const {
        for (size_t done = 0; done < bytes.size();) {
            const auto piece = piece_at(offset + done, bytes.size() - done);
            if (std::memcmp(bytes.data() + done, piece.data(), piece.size()) != 0) return false;
            done += piece.size();
        }
        return true;
    }

  private:
    static constexpr uint64_t kPeriod = 1'048'573;

    static const Bytes& period() {
        static const Bytes bytes = [] {
            Bytes made(kPeriod);
            for (uint64_t i = 0; i < kPeriod; ++i)
                made[i] = static_cast<uint8_t>(i * 0x9e3779b97f4a7c15ULL >> 56);
            return made;
        }();
        return bytes;
    }
    ByteView piece_at(uint64_t offset, size_t most) const {
        const uint64_t at = (offset + seed_) % kPeriod;
        return ByteView(period()).subspan(at, std::min<uint64_t>(most, kPeriod - at));
    }

    uint64_t seed_;
};

}  // namespace alcove::vsock

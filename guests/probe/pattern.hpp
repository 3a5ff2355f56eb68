// SPDX-License-Identifier: Apache-2.0
//
// The bytes that streams are tested with: known to both ends from a seed, and as cheap to make as to copy, so
// that a test of throughput measures the stream and not the maker.
//
// 65521 bytes come from SplitMix64 (its state starts as the seed, each word is written with its least byte
// first, the last word is cut) and repeat for ever. 65521 is a prime, so that what is lost, doubled or
// swapped in pieces of the sizes that buffers have lands on other bytes: pieces of 4 KiB agree only 256 MiB
// apart.
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/bytes.hpp"

namespace alcove::probe {

class Pattern {
  public:
    static constexpr size_t kPeriod = 65521;
    static constexpr size_t kChunk = 65536;

    explicit Pattern(uint64_t seed);

    // The kChunk bytes from this place of the endless stream on. Borrowed from the pattern.
    ByteView at(uint64_t offset) const { return ByteView(bytes_).subspan(offset % kPeriod, kChunk); }

  private:
    Bytes bytes_;  // kPeriod + kChunk, so that no chunk has to be put together
};

}  // namespace alcove::probe

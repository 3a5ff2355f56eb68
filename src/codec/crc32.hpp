// SPDX-License-Identifier: Apache-2.0
//
// CRC-32 of IEEE 802.3, the one of gzip, zip and enclave images. Not a protection against anybody: it finds
// damage.
#pragma once

#include <cstdint>

#include "support/bytes.hpp"

namespace alcove::codec {

// A running checksum.
class Crc32 {
  public:
    void update(ByteView data);
    uint32_t value() const { return value_; }
    uint64_t length() const { return length_; }  // bytes seen

    // As if `next`, computed on its own, had followed here. A file whose head is known last is summed so.
    void append(const Crc32& next);

  private:
    uint32_t value_ = 0;
    uint64_t length_ = 0;
};

}  // namespace alcove::codec

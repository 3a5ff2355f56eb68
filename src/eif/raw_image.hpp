// SPDX-License-Identifier: Apache-2.0
//
// For tests: an image laid out byte by byte, by other code than the writer's, so that each field can lie.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "support/bytes.hpp"

namespace alcove::eif {

struct RawImage {
    struct Part {
        uint16_t type;
        Bytes payload;
        size_t gap_before = 0;
    };
    uint16_t version = 4;
    uint16_t flags = 0;
    std::vector<Part> parts;

    // With a right checksum. Offsets of fields are those of the format: 28 + 8 * i and 284 + 8 * i.
    Bytes assemble() const;

    // Kernel, command line, metadata, two ramdisks.
    static RawImage usual();
};

inline Bytes text_bytes(std::string_view text) {
    return to_bytes(as_byte_view(text));
}

void store_be16(Bytes& bytes, size_t offset, uint16_t value);
void store_be32(Bytes& bytes, size_t offset, uint32_t value);
void store_be64(Bytes& bytes, size_t offset, uint64_t value);
void fix_crc(Bytes& image);

}  // namespace alcove::eif

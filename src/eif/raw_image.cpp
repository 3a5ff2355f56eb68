// SPDX-License-Identifier: Apache-2.0
//
// Written from the format's description, with zlib's checksum.
#include "eif/raw_image.hpp"

#include <zlib.h>

namespace alcove::eif {

namespace {

void store(Bytes& bytes, size_t offset, uint64_t value, size_t size) {
    for (size_t index = 0; index < size; ++index)
        bytes.at(offset + index) = static_cast<uint8_t>(value >> (8 * (size - 1 - index)));
}

}  // namespace

void store_be16(Bytes& bytes, size_t offset, uint16_t value) {
    store(bytes, offset, value, 2);
}
void store_be32(Bytes& bytes, size_t offset, uint32_t value) {
    store(bytes, offset, value, 4);
}
void store_be64(Bytes& bytes, size_t offset, uint64_t value) {
    store(bytes, offset, value, 8);
}

void fix_crc(Bytes& image) {
    uLong crc = ::crc32(0, image.data(), 544);
    crc = ::crc32(crc, image.data() + 548, static_cast<uInt>(image.size() - 548));
    store_be32(image, 544, static_cast<uint32_t>(crc));
}

Bytes RawImage::assemble() const {
    Bytes image(548);
    const std::string_view magic = ".eif";
    std::copy(magic.begin(), magic.end(), image.begin());
    store_be16(image, 4, version);
    store_be16(image, 6, flags);
    store_be64(image, 8, 1ULL << 30);
    store_be64(image, 16, 2);
    store_be16(image, 26, static_cast<uint16_t>(parts.size()));
    for (size_t index = 0; index < parts.size(); ++index) {
        const Part& part = parts[index];
        image.insert(image.end(), part.gap_before, 0xEE);
        const size_t offset = image.size();
        store_be64(image, 28 + 8 * index, offset);
        store_be64(image, 284 + 8 * index, part.payload.size());
        image.resize(offset + 12);
        store_be16(image, offset, part.type);
        store_be64(image, offset + 4, part.payload.size());
        image.insert(image.end(), part.payload.begin(), part.payload.end());
    }
    fix_crc(image);
    return image;
}

RawImage RawImage::usual() {
    RawImage image;
    image.parts = {{1, text_bytes("the kernel")},
                   {2, text_bytes("console=ttyS0")},
                   {5, text_bytes(R"({"ImageName":"name","ImageVersion":"1"})")},
                   {3, text_bytes("the boot ramdisk")},
                   {3, text_bytes("the application")}};
    return image;
}

}  // namespace alcove::eif

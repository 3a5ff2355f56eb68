// SPDX-License-Identifier: Apache-2.0
//
// The checksum first: a damaged file is more likely than a forged one, and the message should say so.
#include "eif/verify.hpp"

#include "codec/hex.hpp"
#include "eif/metadata.hpp"
#include "support/endian.hpp"

namespace alcove::eif {

Result<std::optional<ImageSignature>> verify_image(const Image& image, const Measurements& measurements,
                                                   crypto::TimePoint time) {
    if (image.stored_crc32() != measurements.crc32) {
        const auto hex = [](uint32_t value) {
            const Be32 wire = value;
            return codec::hex_encode(object_bytes(wire));
        };
        return fail(ErrorCode::ImageCrc, "the image says its checksum is " + hex(image.stored_crc32()) +
                                             "; its content has " + hex(measurements.crc32));
    }
    const auto section = image.signature();
    if (!section) return std::optional<ImageSignature>();
    ImageSignature signature = TRY(ImageSignature::parse(*section));
    TRY(signature.verify(measurements.pcr0, time));
    return std::optional(std::move(signature));
}

Result<void> verify_metadata(const Image& image) {
    if (const auto section = image.metadata()) TRY(Metadata::parse(*section));
    return {};
}

}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
//
// Whether an image is intact, and, if it is signed, by the certificate it carries. The metadata is looked at
// apart, and by no launch: it is not measured and decides nothing.
#pragma once

#include <optional>

#include "eif/image.hpp"
#include "eif/measure.hpp"
#include "eif/signature.hpp"
#include "support/result.hpp"

namespace alcove::eif {

// ImageCrc, ImageSignature or ImageCertificateExpired. Gives the signature, or nothing when the image has
// none; PCR8 is zero then.
Result<std::optional<ImageSignature>> verify_image(const Image& image, const Measurements& measurements,
                                                   crypto::TimePoint time);

// MetadataInvalid when the image has metadata that is not what the format says (metadata.hpp).
Result<void> verify_metadata(const Image& image);

}  // namespace alcove::eif

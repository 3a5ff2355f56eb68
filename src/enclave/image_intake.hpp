// SPDX-License-Identifier: Apache-2.0
//
// Takes an image in: copies it once into memory that then nobody can change, measures it on the way, and
// decides whether it may run. What is measured, what is checked and what the VMM loads are the same bytes,
// whatever happens to the file meanwhile.
#pragma once

#include <atomic>
#include <functional>
#include <optional>

#include "crypto/certificate.hpp"
#include "enclave/lifecycle.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::enclave {

struct TakenImage {
    Fd image;        // memfd, sealed against every change, opened for reading
    uint64_t bytes;  // of it
    ImageFacts facts;
};

struct ImageLocation {
    uint64_t offset = 0;                           // in the source
    std::optional<uint64_t> bytes = std::nullopt;  // otherwise as many as the image itself says
};

struct ImageIntake {
    ImageLocation location;
    uint64_t guest_memory_bytes;  // kernel and ramdisks have to fit
    crypto::TimePoint time;       // for the signing certificate
    std::function<void(uint64_t bytes_done, uint64_t bytes_total)>
        report;  // about every 4 MiB, on the calling thread; may be empty
};

// `source` is a regular file, block device or memfd, open for reading. Errors: Truncated when it has fewer
// bytes, Cancelled, RamdiskTooLarge, and those of eif::Image::parse and eif::verify_image.
Result<TakenImage> take_image(const Fd& source, const ImageIntake& intake,
                              const std::atomic<bool>& cancelled);

}  // namespace alcove::enclave

// SPDX-License-Identifier: Apache-2.0
//
// Takes an image in: copies it once into memory that then nobody can change, measures it on the way, and
// decides whether it may run. What is measured, what is checked and what the VMM loads are the same bytes,
// whatever happens to the file meanwhile.
#pragma once

#include <atomic>
#include <functional>

#include "crypto/certificate.hpp"
#include "enclave/lifecycle.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::enclave {

struct TakenImage {
    Fd image;  // memfd, sealed against every change, opened for reading
    ImageFacts facts;
};

struct ImageIntake {
    uint64_t image_bytes;         // from the beginning of the source
    uint64_t guest_memory_bytes;  // kernel and ramdisks have to fit
    crypto::TimePoint time;       // for the signing certificate
    std::function<void(uint64_t bytes_done)>
        report;  // about every 4 MiB, on the calling thread; may be empty
};

// `source` is a regular file or block device, open for reading. Errors: Truncated when it has fewer bytes,
// Cancelled, RamdiskTooLarge, and those of eif::Image::parse and eif::verify_image.
Result<TakenImage> take_image(const Fd& source, const ImageIntake& intake,
                              const std::atomic<bool>& cancelled);

}  // namespace alcove::enclave

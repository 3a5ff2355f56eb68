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
    Fd image;        // memfd, sealed against every change, opened for reading; whole pages if they are huge
    uint64_t bytes;  // of it
    ImageFacts facts;
};

struct ImageLocation {
    uint64_t offset = 0;                           // in the source
    std::optional<uint64_t> bytes = std::nullopt;  // otherwise as many as the image itself says
};

struct ImageIntake {
    ImageLocation location;
    // Of a source that nobody needs afterwards, a RAM file with the image on a page boundary: what is copied
    // is released there, in pages of this size, so that the host's memory in use stays as it is.
    std::optional<uint32_t> released_page_size = std::nullopt;
    uint64_t guest_memory_bytes;  // kernel and ramdisks have to fit
    crypto::TimePoint time;       // for the signing certificate
    std::function<void(uint64_t bytes_done, uint64_t bytes_total)>
        report;  // about every 4 MiB, on the calling thread; may be empty
};

// `source` is a regular file, block device or memfd, open for reading, and for writing if it is released;
// then an error leaves it without what was copied. Errors: Truncated when it has fewer bytes, Cancelled,
// OutOfMemory, RamdiskTooLarge, and those of eif::Image::parse and eif::verify_image.
Result<TakenImage> take_image(const Fd& source, const ImageIntake& intake,
                              const std::atomic<bool>& cancelled);

}  // namespace alcove::enclave

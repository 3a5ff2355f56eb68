// SPDX-License-Identifier: Apache-2.0
//
// All measurements of an image and its checksum in about the time of one hash over the file.
//
// PCR0 covers everything measured, so its hash is the shortest possible time. PCR1 is a copy of its state
// behind the first ramdisk. PCR2, over the other ramdisks, and the CRC run on a second thread; the CRC costs
// a few hundredths of a hash.
//
// A Measurer does the same while the image is still being copied: the copier says how far it is, the two
// threads stay close behind it, in bytes that are still in the cache.
#pragma once

#include <cstdint>
#include <memory>

#include "eif/image.hpp"
#include "eif/pcr.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::eif {

struct Measurements {
    Pcr pcr0;  // kernel, command line, all ramdisks
    Pcr pcr1;  // kernel, command line, first ramdisk
    Pcr pcr2;  // the other ramdisks
    uint32_t crc32;

    bool operator==(const Measurements&) const = default;
};

Measurements measure(const Image& image);

// Belongs to the thread that copies. Going away before finish() stops the two threads.
class Measurer {
  public:
    // `image` is where the copy goes, as large as the whole image. It has to stay mapped while the Measurer
    // lives, and nobody may change a byte once it was announced.
    explicit Measurer(ByteView image);
    ~Measurer();
    Measurer(const Measurer&) = delete;
    Measurer& operator=(const Measurer&) = delete;

    // The first `size` bytes are there. Never goes back.
    void announce(uint64_t size);

    struct Measured {
        Image image;  // parsed: a view of the copy
        Measurements measurements;
    };
    // Waits for the threads; all bytes were announced. Errors are those of Image::parse.
    Result<Measured> finish();

  private:
    friend Measurements measure(const Image& image);
    class Progress;
    class Work;
    std::unique_ptr<Work> work_;
};

}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
//
// Writes an enclave image to a file, front to back, and measures it on the way: a ramdisk may be compressed
// straight into it, its size known only at its end. The same sections give the same bytes.
//
// The reference builder's order is kernel, command line, metadata, ramdisks, signature; any order that
// SectionRules accepts will do.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "codec/crc32.hpp"
#include "eif/image.hpp"
#include "eif/measure.hpp"
#include "eif/pcr.hpp"
#include "eif/section_rules.hpp"
#include "eif/signature.hpp"
#include "support/bits.hpp"
#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::eif {

struct ImageOptions {
    uint16_t version = spec::kNewestVersion;  // 2, 3 or 4
    Architecture architecture = Architecture::X86_64;
    uint64_t default_memory = 1_GiB;  // the two suggestions the reference builder writes
    uint64_t default_cpus = 2;
};

class ImageWriter {
  public:
    // `output` is borrowed, empty, and written by position: its offset is not used. After an error the file
    // is of no use.
    ImageWriter(const Fd& output, const ImageOptions& options);

    Result<void> add(SectionType type, ByteView payload);

    // A section in pieces: begin, append as often as needed, end. Not for command lines, which are checked.
    Result<void> begin(SectionType type);
    Result<void> append(ByteView piece);
    Result<void> end();

    // Adds a signature section over what was measured so far; call it last.
    Result<void> sign(const ImageSigner& signer);

    // Writes the header. Nothing may follow.
    Result<Measurements> finish();

    uint64_t size() const { return position_ + buffer_.size(); }  // of the file, so far

  private:
    struct OpenSection {
        SectionType type;
        uint64_t offset;
        uint64_t size;
        codec::Crc32 crc;
        bool measured;
        bool application;
    };
    Result<void> flush();

    const Fd& output_;
    ImageOptions options_;
    SectionRules rules_;
    spec::Header header_{};
    size_t sections_ = 0;
    uint64_t position_ = sizeof(spec::Header);  // of the buffer, in the file
    Bytes buffer_;
    std::optional<OpenSection> open_;
    codec::Crc32 body_crc_;  // behind the header
    PcrHash image_;
    std::optional<PcrHash> boot_;
    PcrHash application_;
};

// A copy of `image` with this signature in place of any it has; a version 2 image becomes version 3. Gaps
// between sections are not copied.
Result<Measurements> sign_image(const Image& image, const ImageSigner& signer, const Fd& output);

}  // namespace alcove::eif

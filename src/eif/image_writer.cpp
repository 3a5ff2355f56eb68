// SPDX-License-Identifier: Apache-2.0
//
// Sizes and offsets are known late and stand early in the file: section headers are written when their
// section ends, the file's header at the very end, and their checksums are combined in the file's order.
#include "eif/image_writer.hpp"

#include <algorithm>

#include "eif/command_line.hpp"
#include "support/check.hpp"
#include "support/system.hpp"

namespace alcove::eif {

namespace {

constexpr size_t kBufferSize = 1_MiB;

codec::Crc32 crc_of(ByteView bytes) {
    codec::Crc32 crc;
    crc.update(bytes);
    return crc;
}

}  // namespace

ImageWriter::ImageWriter(const Fd& output, const ImageOptions& options)
    : output_(output), options_(options), rules_(options.version) {
    ALCOVE_CHECK(options.version >= spec::kOldestVersion && options.version <= spec::kNewestVersion,
                 "an image version that exists");
    buffer_.reserve(kBufferSize);
    header_.magic = spec::kMagic;
    header_.version = options.version;
    header_.flags = spec::HeaderFlagAArch64::put(
        0, options.architecture == Architecture::AArch64 ? uint16_t{1} : uint16_t{0});
    header_.default_mem = options.default_memory;
    header_.default_cpus = options.default_cpus;
}

Result<void> ImageWriter::flush() {
    TRY(sys::write_all_at(output_, buffer_, position_));
    position_ += buffer_.size();
    buffer_.clear();
    return {};
}

Result<void> ImageWriter::add(SectionType type, ByteView payload) {
    if (type == SectionType::CommandLine) TRY(check_command_line(as_text(payload)));
    TRY(begin(type));
    TRY(append(payload));
    return end();
}

Result<void> ImageWriter::begin(SectionType type) {
    ALCOVE_CHECK(!open_, "one section at a time");
    if (sections_ == spec::kMaxSections)
        return fail(ErrorCode::ImageSection,
                    "an image has at most " + std::to_string(spec::kMaxSections) + " sections");
    const bool ramdisk = type == SectionType::Ramdisk;
    open_ =
        OpenSection{.type = type,
                    .offset = size(),
                    .size = 0,
                    .crc = {},
                    .measured = ramdisk || type == SectionType::Kernel || type == SectionType::CommandLine,
                    .application = ramdisk && rules_.ramdisks() > 0};
    // The section's header; end() knows what has to stand there.
    buffer_.resize(buffer_.size() + sizeof(spec::SectionHeader));
    return {};
}

Result<void> ImageWriter::append(ByteView piece) {
    ALCOVE_CHECK(open_, "append() stands between begin() and end()");
    open_->size += piece.size();
    open_->crc.update(piece);
    if (open_->measured) image_.update(piece);
    if (open_->application) application_.update(piece);
    while (!piece.empty()) {
        const size_t count = std::min(piece.size(), kBufferSize - std::min(kBufferSize, buffer_.size()));
        if (count == 0) {
            TRY(flush());
            continue;
        }
        buffer_.insert(buffer_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(count));
        piece = piece.subspan(count);
    }
    return {};
}

Result<void> ImageWriter::end() {
    ALCOVE_CHECK(open_, "end() comes after begin()");
    const OpenSection section = *open_;
    open_.reset();
    const auto type = static_cast<uint16_t>(section.type);
    TRY(rules_.next(type, section.size));
    if (section.type == SectionType::Ramdisk && rules_.ramdisks() == 1) boot_ = image_.copy();

    spec::SectionHeader header{};
    header.type = type;
    header.size = section.size;
    TRY(flush());
    TRY(sys::write_all_at(output_, object_bytes(header), section.offset));
    body_crc_.append(crc_of(object_bytes(header)));
    body_crc_.append(section.crc);

    header_.section_offsets[sections_] = section.offset;
    header_.section_sizes[sections_] = section.size;
    ++sections_;
    return {};
}

Result<void> ImageWriter::sign(const ImageSigner& signer) {
    const Bytes section = TRY(make_signature_section(image_.copy().finish(), signer));
    return add(SectionType::Signature, section);
}

Result<Measurements> ImageWriter::finish() {
    ALCOVE_CHECK(!open_, "every section was ended");
    TRY(rules_.end());
    header_.num_sections = static_cast<uint16_t>(sections_);
    codec::Crc32 crc = crc_of(object_bytes(header_).first(offsetof(spec::Header, crc32)));
    crc.append(body_crc_);
    header_.crc32 = crc.value();
    TRY(sys::write_all_at(output_, object_bytes(header_), 0));

    if (!boot_) boot_ = image_.copy();
    Measurements measurements;
    measurements.pcr0 = std::move(image_).finish();
    measurements.pcr1 = std::move(*boot_).finish();
    measurements.pcr2 = std::move(application_).finish();
    measurements.crc32 = crc.value();
    return measurements;
}

Result<Measurements> sign_image(const Image& image, const ImageSigner& signer, const Fd& output) {
    ImageWriter writer(output, ImageOptions{.version = std::max(image.version(), spec::kSignatureSince),
                                            .architecture = image.architecture(),
                                            .default_memory = image.default_memory(),
                                            .default_cpus = image.default_cpus()});
    for (const Section& section : image.sections())
        if (section.type != SectionType::Signature) TRY(writer.add(section.type, section.payload));
    TRY(writer.sign(signer));
    return writer.finish();
}

}  // namespace alcove::eif

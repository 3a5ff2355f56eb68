// SPDX-License-Identifier: Apache-2.0
//
// An enclave image as it lies in memory: parsed in place, every field checked against what is really there,
// no payload copied. The caller keeps the bytes (a mapped file, or memory nobody else can write) alive and
// unchanged as long as the Image and the views it gave out are used.
//
// Sections stand in the file in the order of the header's table. Gaps between them are allowed (AWS boots
// such images) and not measured; overlaps are not. Reserved fields and flags with no meaning are ignored.
//
// Errors: ImageMalformed (header, table, bounds), ImageVersion, ImageSection (section_rules.hpp),
// CommandLineInvalid. What checksum, signature and metadata say is not looked at: verify.hpp does that.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "eif/spec.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::eif {

enum class Architecture { X86_64, AArch64 };

struct Section {
    SectionType type;
    uint64_t offset;  // of the section's header, in the image
    ByteView payload;
};

// The header's table, checked against the header alone and the size of what is there: sections ascend, do
// not overlap and end inside. The types stand in the section headers.
struct SectionTable {
    struct Entry {
        uint64_t offset;  // of the section header
        uint64_t size;    // of the payload, as the table says
    };
    uint16_t version;
    std::vector<Entry> entries;

    // `available` needs to hold the header only; `total` is the size of the whole image.
    static Result<SectionTable> parse(ByteView available, uint64_t total);
};

// The section that `table` places at `index`; its header and payload have to lie in `image` and to agree with
// the table. (Images signed again by an old tool have the former signature's size in the table; that one may
// differ.)
struct RawSection {
    uint16_t type;
    ByteView payload;
};
Result<RawSection> read_section(ByteView image, const SectionTable& table, size_t index);

class Image {
  public:
    // `file` is the image and nothing more.
    static Result<Image> parse(ByteView file);
    // The image lies at the start of `memory`; what follows its last section is not part of it.
    static Result<Image> parse_prefix(ByteView memory);

    // From the header to the end of the last section.
    ByteView bytes() const { return bytes_; }

    uint16_t version() const { return version_; }
    Architecture architecture() const { return architecture_; }
    uint64_t default_memory() const { return default_memory_; }  // bytes
    uint64_t default_cpus() const { return default_cpus_; }
    uint32_t stored_crc32() const { return stored_crc32_; }

    ByteView kernel() const { return kernel_; }
    std::string_view command_line() const { return command_line_; }
    const std::vector<ByteView>& ramdisks() const { return ramdisks_; }  // in file order
    std::optional<ByteView> signature() const { return signature_; }
    std::optional<ByteView> metadata() const { return metadata_; }
    const std::vector<Section>& sections() const { return sections_; }  // in file order

  private:
    explicit Image(ByteView bytes) : bytes_(bytes) {}

    ByteView bytes_;
    uint16_t version_ = 0;
    Architecture architecture_ = Architecture::X86_64;
    uint64_t default_memory_ = 0;
    uint64_t default_cpus_ = 0;
    uint32_t stored_crc32_ = 0;
    std::vector<Section> sections_;
    ByteView kernel_;
    std::string_view command_line_;
    std::vector<ByteView> ramdisks_;
    std::optional<ByteView> signature_;
    std::optional<ByteView> metadata_;
};

}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
//
// The table is checked before any section is looked at, so that what reads sections (here, and the threads
// that measure) needs no bounds of its own.
#include "eif/image.hpp"

#include <string>

#include "eif/command_line.hpp"
#include "eif/section_rules.hpp"
#include "support/checked.hpp"

namespace alcove::eif {

namespace {

Failure malformed(std::string message) {
    return fail(ErrorCode::ImageMalformed, std::move(message));
}

std::string section_name(size_t index) {
    return "section " + std::to_string(index);
}

}  // namespace

Result<SectionTable> SectionTable::parse(ByteView available, uint64_t total) {
    const auto header = read_object<spec::Header>(available);
    if (!header) return malformed("the image is shorter than an EIF header");
    if (header->magic != spec::kMagic) return malformed("the file does not begin as an EIF does (\".eif\")");
    if (header->version < spec::kOldestVersion || header->version > spec::kNewestVersion)
        return fail(ErrorCode::ImageVersion, "the image has format version " +
                                                 std::to_string(header->version) + "; 2, 3 and 4 are known");
    if (header->num_sections < spec::kMinSections || header->num_sections > spec::kMaxSections)
        return malformed("the image has " + std::to_string(header->num_sections) +
                         " sections; 2 to 32 are allowed");

    SectionTable table{header->version, {}};
    uint64_t end = sizeof(spec::Header);
    for (size_t index = 0; index < header->num_sections; ++index) {
        const Entry entry{header->section_offsets[index], header->section_sizes[index]};
        if (entry.offset < end)
            return malformed(section_name(index) +
                             " lies over what is before it, or sections are not in order");
        if (!range_within(entry.offset, uint64_t{sizeof(spec::SectionHeader)}, total))
            return malformed(section_name(index) + " begins behind the end of the image");
        end = entry.offset + sizeof(spec::SectionHeader);
        // The size of a signature may be stale; read_section() checks the one that counts.
        table.entries.push_back(entry);
    }
    return table;
}

Result<RawSection> read_section(ByteView image, const SectionTable& table, size_t index) {
    const SectionTable::Entry& entry = table.entries[index];
    const auto header = read_object<spec::SectionHeader>(image, entry.offset);
    if (!header) return malformed(section_name(index) + " begins behind the end of the image");
    const bool may_be_stale = header->type == static_cast<uint16_t>(SectionType::Signature);
    if (header->size != entry.size && !may_be_stale)
        return malformed(section_name(index) + " has " + std::to_string(header->size) +
                         " bytes by its own header and " + std::to_string(entry.size) + " by the table");
    const uint64_t begin = entry.offset + sizeof(spec::SectionHeader);
    const uint64_t size = header->size;
    if (!range_within(begin, size, uint64_t{image.size()}))
        return malformed(section_name(index) + " ends behind the end of the image");
    if (index + 1 < table.entries.size() && begin + size > table.entries[index + 1].offset)
        return malformed(section_name(index) + " and the next one overlap");
    return RawSection{header->type, image.subspan(begin, size)};
}

Result<Image> Image::parse(ByteView file) {
    Image image = TRY(parse_prefix(file));
    if (image.bytes().size() != file.size())
        return malformed("the last section is followed by " +
                         std::to_string(file.size() - image.bytes().size()) + " bytes that belong to none");
    return image;
}

Result<Image> Image::parse_prefix(ByteView memory) {
    const SectionTable table = TRY(SectionTable::parse(memory, memory.size()));
    // parse() has seen that it is there.
    const spec::Header header = read_object<spec::Header>(memory).value();

    Image image(memory);
    image.version_ = table.version;
    image.architecture_ =
        spec::HeaderFlagAArch64::get(header.flags) != 0 ? Architecture::AArch64 : Architecture::X86_64;
    image.default_memory_ = header.default_mem;
    image.default_cpus_ = header.default_cpus;
    image.stored_crc32_ = header.crc32;

    SectionRules rules(table.version);
    uint64_t end = 0;
    for (size_t index = 0; index < table.entries.size(); ++index) {
        const RawSection raw = TRY(read_section(memory, table, index));
        const SectionType type = TRY(rules.next(raw.type, raw.payload.size()).context(section_name(index)));
        const uint64_t offset = table.entries[index].offset;
        image.sections_.push_back(Section{type, offset, raw.payload});
        end = offset + sizeof(spec::SectionHeader) + raw.payload.size();
        switch (type) {
            case SectionType::Kernel:
                image.kernel_ = raw.payload;
                break;
            case SectionType::CommandLine:
                image.command_line_ = as_text(raw.payload);
                break;
            case SectionType::Ramdisk:
                image.ramdisks_.push_back(raw.payload);
                break;
            case SectionType::Signature:
                image.signature_ = raw.payload;
                break;
            case SectionType::Metadata:
                image.metadata_ = raw.payload;
                break;
        }
    }
    TRY(rules.end());
    TRY(check_command_line(image.command_line_));
    image.bytes_ = memory.first(end);
    return image;
}

}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
#include "cli/image_view.hpp"

#include "cli/output.hpp"
#include "cli/table.hpp"
#include "codec/hex.hpp"
#include "eif/spec.hpp"

namespace alcove::cli {

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

std::string_view section_name(eif::SectionType type) {
    switch (type) {
        case eif::SectionType::Kernel:
            return "kernel";
        case eif::SectionType::CommandLine:
            return "command line";
        case eif::SectionType::Ramdisk:
            return "ramdisk";
        case eif::SectionType::Signature:
            return "signature";
        case eif::SectionType::Metadata:
            return "metadata";
        default:
            return "unknown";
    }
}

void add_measurements(Fields& fields, const eif::Measurements& measurements,
                      const std::optional<eif::Pcr>& pcr8) {
    fields.emplace_back("PCR0", codec::hex_encode(measurements.pcr0));
    fields.emplace_back("PCR1", codec::hex_encode(measurements.pcr1));
    fields.emplace_back("PCR2", codec::hex_encode(measurements.pcr2));
    if (pcr8) fields.emplace_back("PCR8", codec::hex_encode(*pcr8));
}

void add_signature(Fields& fields, const eif::ImageDescription& description) {
    if (!description.signature) {
        fields.emplace_back("signature", "none");
        return;
    }
    const auto& signature = *description.signature;
    if (signature.certificate) {
        fields.emplace_back("signed by", one_line(signature.certificate->subject.common_name));
        fields.emplace_back("valid", crypto::time_text(signature.certificate->not_before) + " to " +
                                         crypto::time_text(signature.certificate->not_after));
    }
    fields.emplace_back("signature", signature.problem ? "WRONG: " + one_line(*signature.problem) : "good");
}

}  // namespace

std::string render_measurements(const eif::Measurements& measurements, const std::optional<eif::Pcr>& pcr8) {
    Fields fields;
    add_measurements(fields, measurements, pcr8);
    return render_fields(fields);
}

// Names and texts of an image are its maker's: they pass one_line().
std::string render_description(const std::string& file, const eif::ImageDescription& description) {
    Fields fields;
    if (description.metadata) {
        fields.emplace_back("name", one_line(description.metadata->image_name));
        fields.emplace_back("version", one_line(description.metadata->image_version));
        fields.emplace_back("built with", one_line(description.metadata->build.build_tool + " " +
                                                   description.metadata->build.build_tool_version));
        fields.emplace_back("kernel", one_line(description.metadata->build.kernel_version));
    }
    if (description.metadata_problem)
        fields.emplace_back("metadata", "WRONG: " + one_line(*description.metadata_problem));
    fields.emplace_back("format", "EIF version " + std::to_string(description.version));
    fields.emplace_back("architecture",
                        description.architecture == eif::Architecture::X86_64 ? "x86_64" : "aarch64");
    fields.emplace_back("command line", one_line(description.command_line));
    fields.emplace_back("checksum", description.crc_matches() ? "good" : "WRONG");
    add_signature(fields, description);
    std::optional<eif::Pcr> pcr8;
    if (description.signature) pcr8 = description.signature->pcr8;
    add_measurements(fields, description.measurements, pcr8);
    std::vector<std::vector<std::string>> sections = {{"SECTION", "OFFSET", "SIZE"}};
    for (const auto& section : description.sections)
        sections.push_back({std::string(section_name(section.type)), std::to_string(section.offset),
                            std::to_string(section.size)});
    return file + "\n" + render_fields(fields, 2) + "\n" + render_table(sections);
}

}  // namespace alcove::cli

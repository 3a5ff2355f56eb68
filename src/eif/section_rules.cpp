// SPDX-License-Identifier: Apache-2.0
//
// One rule a line.
#include "eif/section_rules.hpp"

#include <string>

namespace alcove::eif {

namespace {

Failure wrong_section(std::string message) {
    return fail(ErrorCode::ImageSection, std::move(message));
}

}  // namespace

Result<SectionType> SectionRules::next(uint16_t type, uint64_t size) {
    switch (static_cast<SectionType>(type)) {
        case SectionType::Kernel:
            if (kernel_) return wrong_section("the image has two kernels");
            if (size == 0) return wrong_section("the image's kernel is empty");
            if (command_line_ || ramdisks_ > 0)
                return wrong_section("the kernel has to come before command line and ramdisks");
            kernel_ = true;
            return SectionType::Kernel;
        case SectionType::CommandLine:
            if (command_line_) return wrong_section("the image has two command lines");
            if (!kernel_ || ramdisks_ > 0)
                return wrong_section("the command line has to come after the kernel and before the ramdisks");
            command_line_ = true;
            return SectionType::CommandLine;
        case SectionType::Ramdisk:
            if (!kernel_ || !command_line_)
                return wrong_section("a ramdisk has to come after kernel and command line");
            ++ramdisks_;
            return SectionType::Ramdisk;
        case SectionType::Signature:
            if (version_ < spec::kSignatureSince)
                return wrong_section("an image of version " + std::to_string(version_) +
                                     " can not be signed");
            if (signature_) return wrong_section("the image has two signature sections");
            if (size > spec::kMaxSignatureSize)
                return wrong_section("the signature section has more than " +
                                     std::to_string(spec::kMaxSignatureSize) + " bytes");
            signature_ = true;
            return SectionType::Signature;
        case SectionType::Metadata:
            if (version_ < spec::kMetadataSince)
                return wrong_section("an image of version " + std::to_string(version_) + " has no metadata");
            if (metadata_) return wrong_section("the image has two metadata sections");
            metadata_ = true;
            return SectionType::Metadata;
    }
    return wrong_section("a section has the unknown type " + std::to_string(type));
}

Result<void> SectionRules::end() const {
    if (!kernel_) return wrong_section("the image has no kernel");
    if (!command_line_) return wrong_section("the image has no command line");
    if (version_ >= spec::kMetadataSince && !metadata_)
        return wrong_section("an image of version " + std::to_string(version_) + " needs a metadata section");
    return {};
}

}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
//
// Collects, and renders as JSON. The names are nitro-cli's where it has one.
#include "eif/describe.hpp"

#include <algorithm>
#include <ctime>

#include <nlohmann/json.hpp>

#include "codec/hex.hpp"
#include "codec/json.hpp"
#include "eif/certificate_outline.hpp"
#include "eif/signature.hpp"

namespace alcove::eif {

namespace {

using codec::json::Json;

SignatureDescription describe_signature(ByteView section, const Pcr& pcr0, crypto::TimePoint time) {
    SignatureDescription description;
    const auto signature = ImageSignature::parse(section);
    if (!signature) {
        description.problem = signature.error().to_string();
        return description;
    }
    const crypto::Certificate& certificate = signature->certificate;
    auto outline = outline_certificate(certificate.der());
    description.certificate = SignatureDescription::Certificate{
        .issuer = certificate.issuer(),
        .subject = certificate.subject(),
        .not_before = certificate.not_before(),
        .not_after = certificate.not_after(),
        .signature_algorithm = outline ? outline->signature_algorithm : "",
        .signature = outline ? outline->signature : Bytes(),
    };
    description.pcr8 = signature->pcr8();
    const auto verified = signature->verify(pcr0, time);
    if (!verified) description.problem = verified.error().to_string();
    return description;
}

// "Nov 22 03:30:00 2025 GMT", as OpenSSL prints a time.
std::string time_text(crypto::TimePoint time) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[64];
    return {text, std::strftime(text, sizeof(text), "%b %e %H:%M:%S %Y GMT", &parts)};
}

Json name_json(const crypto::DistinguishedName& name) {
    Json object = Json::object();
    const auto add = [&](const char* key, const std::string& value) {
        if (!value.empty()) object[key] = value;
    };
    add("countryName", name.country);
    add("stateOrProvinceName", name.state);
    add("localityName", name.locality);
    add("organizationName", name.organization);
    add("organizationalUnitName", name.organizational_unit);
    add("commonName", name.common_name);
    return object;
}

Json certificate_json(const SignatureDescription::Certificate& certificate) {
    Json object = Json::object();
    object["IssuerName"] = name_json(certificate.issuer);
    object["Algorithm"] = certificate.signature_algorithm;
    object["NotBefore"] = time_text(certificate.not_before);
    object["NotAfter"] = time_text(certificate.not_after);
    object["Signature"] = codec::hex_encode(certificate.signature);
    return object;
}

// The texts were parsed once already, when the metadata was read.
Json json_or_null(const std::optional<std::string>& text) {
    if (!text) return {};
    auto value = codec::json::parse(*text);
    return value ? std::move(value).value() : Json();
}

const char* section_type_name(SectionType type) {
    switch (type) {
        case SectionType::Kernel:
            return "kernel";
        case SectionType::CommandLine:
            return "command-line";
        case SectionType::Ramdisk:
            return "ramdisk";
        case SectionType::Signature:
            return "signature";
        case SectionType::Metadata:
            return "metadata";
    }
    return "unknown";
}

std::optional<Pcr> pcr8_of(const ImageDescription& description) {
    return description.signature ? description.signature->pcr8 : std::nullopt;
}

}  // namespace

ImageDescription describe(const Image& image, const Measurements& measurements, crypto::TimePoint time) {
    ImageDescription description{};
    description.version = image.version();
    description.architecture = image.architecture();
    description.command_line = std::string(image.command_line());
    for (const Section& section : image.sections())
        description.sections.push_back({section.type, section.offset, section.payload.size()});
    description.stored_crc32 = image.stored_crc32();
    description.measurements = measurements;
    if (const auto section = image.signature())
        description.signature = describe_signature(*section, measurements.pcr0, time);
    if (const auto section = image.metadata()) {
        auto metadata = Metadata::parse(*section);
        if (metadata) {
            description.metadata = std::move(metadata).value();
        } else {
            description.metadata_problem = metadata.error().to_string();
        }
    }
    return description;
}

// Flat, unlike the section itself: the builder's fields, and among them those of the user's own object.
Json metadata_json(const Metadata& metadata) {
    Json object = Json{{"BuildTime", metadata.build.build_time},
                       {"BuildTool", metadata.build.build_tool},
                       {"BuildToolVersion", metadata.build.build_tool_version},
                       {"OperatingSystem", metadata.build.operating_system},
                       {"KernelVersion", metadata.build.kernel_version}};
    object["DockerInfo"] = json_or_null(metadata.docker_info);
    const Json custom = json_or_null(metadata.custom);
    if (custom.is_object()) {
        for (const auto& [name, value] : custom.items())
            if (!object.contains(name)) object[name] = value;
    } else if (!custom.is_null()) {
        object["CustomMetadata"] = custom;
    }
    return object;
}

Json measurements_json(const Measurements& measurements, const std::optional<Pcr>& pcr8) {
    Json object = Json::object();
    object["HashAlgorithm"] = "Sha384 { ... }";
    object["PCR0"] = codec::hex_encode(measurements.pcr0);
    object["PCR1"] = codec::hex_encode(measurements.pcr1);
    object["PCR2"] = codec::hex_encode(measurements.pcr2);
    if (pcr8) object["PCR8"] = codec::hex_encode(*pcr8);
    return object;
}

Json nitro_description_json(const ImageDescription& description) {
    Json object = Json::object();
    object["EifVersion"] = description.version;
    object["Measurements"] = measurements_json(description.measurements, pcr8_of(description));
    object["IsSigned"] = description.signature.has_value();
    if (description.signature && description.signature->certificate)
        object["SigningCertificate"] = certificate_json(*description.signature->certificate);
    object["CheckCRC"] = description.crc_matches();
    if (description.signature) object["SignatureCheck"] = !description.signature->problem.has_value();
    if (description.metadata) {
        object["ImageName"] = description.metadata->image_name;
        object["ImageVersion"] = description.metadata->image_version;
        object["Metadata"] = metadata_json(*description.metadata);
    }
    return object;
}

Json description_json(const ImageDescription& description) {
    Json object = nitro_description_json(description);
    object["Architecture"] = description.architecture == Architecture::AArch64 ? "aarch64" : "x86_64";
    object["CommandLine"] = description.command_line;
    Json sections = Json::array();
    for (const auto& section : description.sections)
        sections.push_back(Json{
            {"Type", section_type_name(section.type)}, {"Offset", section.offset}, {"Size", section.size}});
    object["Sections"] = std::move(sections);
    if (description.signature && description.signature->problem)
        object["SignatureProblem"] = *description.signature->problem;
    if (description.metadata_problem) object["MetadataProblem"] = *description.metadata_problem;
    return object;
}

}  // namespace alcove::eif

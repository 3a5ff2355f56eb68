// SPDX-License-Identifier: Apache-2.0
//
// Everything an image says about itself and what can be computed from it, without a verdict: a bad checksum,
// signature or metadata is described, not an error. For a verdict see verify.hpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "crypto/certificate.hpp"
#include "eif/image.hpp"
#include "eif/measure.hpp"
#include "eif/metadata.hpp"
#include "eif/pcr.hpp"

namespace alcove::eif {

struct SignatureDescription {
    struct Certificate {
        crypto::DistinguishedName issuer;
        crypto::DistinguishedName subject;
        crypto::TimePoint not_before;
        crypto::TimePoint not_after;
        std::string signature_algorithm;  // "ecdsa-with-SHA384", or the dotted number of another one
        Bytes signature;                  // the issuer's, on the certificate
    };
    std::optional<Certificate> certificate;  // nothing when the section can not be read
    std::optional<Pcr> pcr8;
    std::optional<std::string> problem;  // why it does not verify
};

struct ImageDescription {
    struct SectionInfo {
        SectionType type;
        uint64_t offset;
        uint64_t size;  // of the payload
    };
    uint16_t version;
    Architecture architecture;
    std::string command_line;
    std::vector<SectionInfo> sections;
    uint32_t stored_crc32;
    Measurements measurements;
    std::optional<SignatureDescription> signature;
    std::optional<Metadata> metadata;
    std::optional<std::string> metadata_problem;

    bool crc_matches() const { return stored_crc32 == measurements.crc32; }
};

// `time` is when the signing certificate has to be valid.
ImageDescription describe(const Image& image, const Measurements& measurements, crypto::TimePoint time);

// {"HashAlgorithm", "PCR0", ...}, as every command of nitro-cli prints it.
nlohmann::ordered_json measurements_json(const Measurements& measurements, const std::optional<Pcr>& pcr8);
// {"BuildTime", ...}: `Metadata` of what nitro-cli prints.
nlohmann::ordered_json metadata_json(const Metadata& metadata);
// What `nitro-cli describe-eif` prints.
nlohmann::ordered_json nitro_description_json(const ImageDescription& description);
// The same and the rest: architecture, command line, sections, problems in words.
nlohmann::ordered_json description_json(const ImageDescription& description);

}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
//
// The metadata section: a JSON object that tells people what an image is. Nothing in it is measured, so
// nothing may depend on it.
#pragma once

#include <optional>
#include <string>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::eif {

struct BuildMetadata {
    std::string build_time;  // RFC 3339
    std::string build_tool;
    std::string build_tool_version;
    std::string operating_system;
    std::string kernel_version;

    bool operator==(const BuildMetadata&) const = default;
};

struct Metadata {
    static constexpr size_t kMaxSize = 1024 * 1024;  // bytes of the section

    std::string image_name;
    std::string image_version;
    BuildMetadata build;
    std::optional<std::string> docker_info;  // one line of JSON; an object
    std::optional<std::string> custom;       // one line of JSON, at most 4096 bytes; anything

    // MetadataInvalid when it is no JSON object, or a field is of the wrong kind. Missing fields are empty.
    static Result<Metadata> parse(ByteView section);
    // The same metadata gives the same bytes.
    Result<Bytes> encode() const;

    bool operator==(const Metadata&) const = default;
};

}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
//
// Field names as AWS's reference builder writes them.
#include "eif/metadata.hpp"

#include <nlohmann/json.hpp>

#include "codec/json.hpp"
#include "eif/spec.hpp"

namespace alcove::eif {

namespace {

namespace json = codec::json;
using json::Json;

constexpr json::Limits kLimits{.bytes = Metadata::kMaxSize, .depth = 32};

Failure invalid(const Error& cause) {
    return fail(ErrorCode::MetadataInvalid, cause.to_string());
}

Result<std::string> text_or_empty(const Json& object, std::string_view name) {
    auto text = TRY(json::optional_text_field(object, name));
    return std::move(text).value_or("");
}

Result<void> check_custom_size(const std::string& custom) {
    if (custom.size() > spec::kMaxCustomMetadataSize)
        return fail(ErrorCode::MetadataInvalid,
                    "the custom metadata has " + std::to_string(custom.size()) + " bytes; at most " +
                        std::to_string(spec::kMaxCustomMetadataSize) + " are allowed");
    return {};
}

Result<Metadata> parse_object(const Json& object) {
    Metadata metadata;
    metadata.image_name = TRY(text_or_empty(object, "ImageName"));
    metadata.image_version = TRY(text_or_empty(object, "ImageVersion"));
    const Json* build = TRY(json::optional_object_field(object, "BuildMetadata"));
    if (build != nullptr) {
        metadata.build.build_time = TRY(text_or_empty(*build, "BuildTime"));
        metadata.build.build_tool = TRY(text_or_empty(*build, "BuildTool"));
        metadata.build.build_tool_version = TRY(text_or_empty(*build, "BuildToolVersion"));
        metadata.build.operating_system = TRY(text_or_empty(*build, "OperatingSystem"));
        metadata.build.kernel_version = TRY(text_or_empty(*build, "KernelVersion"));
    }
    const Json* docker = TRY(json::optional_object_field(object, "DockerInfo"));
    if (docker != nullptr) metadata.docker_info = json::dump(*docker);
    const auto custom = object.find("CustomMetadata");
    if (custom != object.end() && !custom->is_null()) metadata.custom = json::dump(*custom);
    return metadata;
}

Result<Json> parse_part(const std::optional<std::string>& text, std::string_view what) {
    if (!text) return Json();
    return json::parse(*text, kLimits).context(std::string(what));
}

}  // namespace

Result<Metadata> Metadata::parse(ByteView section) {
    const auto object = json::parse(as_text(section), kLimits);
    if (!object) return invalid(object.error());
    if (!object->is_object()) return fail(ErrorCode::MetadataInvalid, "the metadata is no JSON object");
    auto metadata = parse_object(*object);
    if (!metadata) return invalid(metadata.error());
    if (metadata->custom) TRY(check_custom_size(*metadata->custom));
    return metadata;
}

Result<Bytes> Metadata::encode() const {
    if (custom) TRY(check_custom_size(*custom));
    const auto docker_value = parse_part(docker_info, "docker info");
    if (!docker_value) return invalid(docker_value.error());
    if (!docker_value->is_null() && !docker_value->is_object())
        return fail(ErrorCode::MetadataInvalid, "the docker info is no JSON object");
    const auto custom_value = parse_part(custom, "custom metadata");
    if (!custom_value) return invalid(custom_value.error());

    Json object = Json::object();
    object["ImageName"] = image_name;
    object["ImageVersion"] = image_version;
    object["BuildMetadata"] = Json{{"BuildTime", build.build_time},
                                   {"BuildTool", build.build_tool},
                                   {"BuildToolVersion", build.build_tool_version},
                                   {"OperatingSystem", build.operating_system},
                                   {"KernelVersion", build.kernel_version}};
    object["DockerInfo"] = *docker_value;
    object["CustomMetadata"] = *custom_value;
    const std::string text = json::dump(object);
    if (text.size() > kMaxSize) return fail(ErrorCode::MetadataInvalid, "the metadata is larger than 1 MiB");
    return to_bytes(as_byte_view(text));
}

}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
#include "daemon/launch_json.hpp"

#include <array>
#include <limits>

#include <nlohmann/json.hpp>

#include "codec/json.hpp"
#include "daemon/network_json.hpp"
#include "sgx/configuration_json.hpp"
#include "support/bits.hpp"

namespace alcove::daemon {

namespace {

using codec::json::Json;

constexpr std::array<std::string_view, 9> kFields = {"name",  "image",  "vcpus", "cpus", "memory_mib",
                                                     "pages", "policy", "debug", "cid"};
constexpr std::array<std::string_view, 12> kPrimaryFields = {
    "name",  "image",    "vcpus",    "memory_mib",     "pages", "policy",
    "disks", "enclaves", "networks", "enclave_policy", "sgx",   "provisioned"};
// Of an enclave that starts with a primary VM.
constexpr std::array<std::string_view, 7> kProvisionedFields = {"name",   "image", "vcpus", "memory_mib",
                                                                "policy", "debug", "cid"};
constexpr std::array<std::string_view, 3> kImageFields = {"token", "disk", "size"};
constexpr std::array<std::string_view, 4> kDiskFields = {"token", "disk", "size", "read_only"};
constexpr std::array<std::string_view, 3> kNetworkFields = {"token", "kind", "mac"};

Result<FileReference> read_file(const Json& json, const char* what) {
    FileReference file;
    auto token = TRY(codec::json::optional_text_field(json, "token"));
    auto disk = TRY(codec::json::optional_text_field(json, "disk"));
    if (token.has_value() == disk.has_value())
        return fail(ErrorCode::InvalidArgument, std::string(what) + " needs either 'token' or 'disk'");
    if (disk) file.bytes = TRY(codec::json::unsigned_field(json, "size"));
    file.token = token.value_or("");
    file.disk = disk.value_or("");
    return file;
}

Result<std::optional<host::CpuPolicy>> optional_policy(const Json& json, const char* field) {
    const auto text = TRY(codec::json::optional_text_field(json, field));
    if (!text) return std::optional<host::CpuPolicy>();
    if (*text == "dedicated") return std::optional(host::CpuPolicy::Dedicated);
    if (*text == "shared") return std::optional(host::CpuPolicy::Shared);
    return fail(ErrorCode::InvalidArgument, std::string("'") + field + "' is \"dedicated\" or \"shared\"");
}

Result<void> read_disks(const Json& json, LaunchBody& body) {
    const auto* disks = TRY(codec::json::optional_array_field(json, "disks"));
    if (disks == nullptr) return {};
    for (const auto& item : *disks) {
        TRY(codec::json::check_fields(item, kDiskFields).context("disks"));
        auto file = TRY(read_file(item, "a disk"));
        const auto read_only = TRY(codec::json::optional_boolean_field(item, "read_only"));
        file.read_only = read_only.value_or(false);
        body.disks.push_back(std::move(file));
    }
    return {};
}

Result<void> read_cpus(const Json& json, LaunchBody& body) {
    const auto* cpus = TRY(codec::json::optional_array_field(json, "cpus"));
    if (cpus == nullptr) return {};
    for (const auto& item : *cpus) {
        if (!item.is_number_unsigned() || item.get<uint64_t>() > std::numeric_limits<uint32_t>::max())
            return fail(ErrorCode::InvalidArgument, "'cpus' is a list of CPU numbers");
        body.cpus.push_back(item.get<uint32_t>());
    }
    return {};
}

Result<void> read_networks(const Json& json, LaunchBody& body) {
    const auto* networks = TRY(codec::json::optional_array_field(json, "networks"));
    if (networks == nullptr) return {};
    for (const auto& item : *networks) {
        TRY(codec::json::check_fields(item, kNetworkFields).context("networks"));
        const auto kind = TRY(codec::json::text_field(item, "kind"));
        const auto mac = TRY(codec::json::optional_text_field(item, "mac"));
        NetworkReference network;
        network.token = TRY(codec::json::text_field(item, "token"));
        network.kind = TRY(parse_network_kind(kind));
        if (mac) network.mac = TRY(parse_mac(*mac));
        body.networks.push_back(std::move(network));
    }
    return {};
}

}  // namespace

Result<host::CpuPolicy> parse_policy_body(std::string_view text) {
    const auto json = TRY(codec::json::parse(text, {.bytes = 4096, .depth = 2}));
    TRY(codec::json::check_fields(json, std::array<std::string_view, 1>{"policy"}));
    const auto policy = TRY(optional_policy(json, "policy"));
    if (!policy) return fail(ErrorCode::InvalidArgument, "'policy' is missing");
    return *policy;
}

namespace {

Result<LaunchBody> read_launch(const Json& json) {
    LaunchBody body;
    auto name = TRY(codec::json::optional_text_field(json, "name"));
    body.name = name.value_or("");
    const auto* image = TRY(codec::json::object_field(json, "image"));
    TRY(codec::json::check_fields(*image, kImageFields).context("image"));
    body.image = TRY(read_file(*image, "'image'"));
    TRY(read_disks(json, body));
    TRY(read_networks(json, body));
    const auto* sgx = TRY(codec::json::optional_object_field(json, "sgx"));
    if (sgx != nullptr) body.sgx = TRY(sgx::parse_configuration(*sgx).context("sgx"));
    const uint64_t vcpus = TRY(codec::json::unsigned_field(json, "vcpus"));
    if (vcpus > std::numeric_limits<uint32_t>::max())
        return fail(ErrorCode::InvalidArgument, "'vcpus' is out of range");
    body.vcpus = static_cast<uint32_t>(vcpus);
    TRY(read_cpus(json, body));
    body.memory_mib = TRY(codec::json::unsigned_field(json, "memory_mib"));
    if (body.memory_mib > std::numeric_limits<uint64_t>::max() >> 20)
        return fail(ErrorCode::InvalidArgument, "'memory_mib' is out of range");
    const auto pages = TRY(codec::json::optional_text_field(json, "pages"));
    if (pages && *pages != "4k" && *pages != "2m")
        return fail(ErrorCode::InvalidArgument, "'pages' is \"4k\" or \"2m\"");
    if (pages && *pages == "2m") body.pages = host::PageSize::Size2M;
    const auto policy = TRY(optional_policy(json, "policy"));
    body.policy = policy.value_or(host::CpuPolicy::Dedicated);
    body.enclave_policy = TRY(optional_policy(json, "enclave_policy"));
    const auto debug = TRY(codec::json::optional_boolean_field(json, "debug"));
    body.debug = debug.value_or(false);
    const auto enclaves = TRY(codec::json::optional_boolean_field(json, "enclaves"));
    body.enclaves = enclaves.value_or(false);
    body.cid = TRY(codec::json::optional_unsigned_field(json, "cid"));
    return body;
}

Result<void> read_provisioned(const Json& json, LaunchBody& body) {
    const auto* enclaves = TRY(codec::json::optional_array_field(json, "provisioned"));
    if (enclaves == nullptr) return {};
    for (const auto& item : *enclaves) {
        TRY(codec::json::check_fields(item, kProvisionedFields).context("provisioned"));
        auto enclave = TRY(read_launch(item).context("provisioned"));
        body.provisioned.push_back(std::move(enclave));
    }
    return {};
}

}  // namespace

Result<LaunchBody> parse_launch_body(std::string_view text, api::VmRole role) {
    const auto json = TRY(codec::json::parse(text, {.bytes = 64_KiB, .depth = 5}));
    const bool primary = role == api::VmRole::Primary;
    TRY(primary ? codec::json::check_fields(json, kPrimaryFields) : codec::json::check_fields(json, kFields));
    auto body = TRY(read_launch(json));
    if (primary) TRY(read_provisioned(json, body));
    return body;
}

}  // namespace alcove::daemon

// SPDX-License-Identifier: Apache-2.0
#include "sgx/configuration_json.hpp"

#include <array>
#include <limits>

#include <nlohmann/json.hpp>

namespace alcove::sgx {

using codec::json::Json;

namespace {

constexpr std::array<std::string_view, 11> kFields = {
    "epc",        "backend",    "sgx1",        "sgx2",     "launch_control", "provision_key",
    "population", "budget_mib", "balloon_mib", "key_root", "on_migrate"};
constexpr std::array<std::string_view, 3> kSectionFields = {"size_mib", "base", "node"};
constexpr std::array<std::string_view, 2> kLaunchControlFields = {"hash", "writable"};

Result<SectionPlan> parse_section(const Json& json) {
    TRY(codec::json::check_fields(json, kSectionFields));
    const auto base = TRY(codec::json::optional_unsigned_field(json, "base"));
    const auto node = TRY(codec::json::optional_unsigned_field(json, "node"));
    SectionPlan section;
    section.size_mib = TRY(codec::json::unsigned_field(json, "size_mib"));
    if (base) section.base = memory::GuestAddress(*base);
    if (node && *node > std::numeric_limits<uint32_t>::max())
        return fail(ErrorCode::InvalidArgument, "'node' is out of range");
    section.node = static_cast<uint32_t>(node.value_or(0));
    return section;
}

Result<void> parse_launch_control(const Json& json, Configuration& configuration) {
    const auto* control = TRY(codec::json::optional_object_field(json, "launch_control"));
    if (control == nullptr) return {};
    TRY(codec::json::check_fields(*control, kLaunchControlFields));
    const auto hash = TRY(codec::json::optional_text_field(*control, "hash"));
    const auto writable = TRY(codec::json::optional_boolean_field(*control, "writable"));
    if (hash) configuration.launch_hash = TRY(parse_launch_hash(*hash));
    configuration.launch_hash_writable = writable.value_or(configuration.launch_hash_writable);
    return {};
}

Result<void> parse_flag(const Json& json, const char* name, bool& flag) {
    const auto given = TRY(codec::json::optional_boolean_field(json, name));
    flag = given.value_or(flag);
    return {};
}

template <typename Enum>
Result<void> parse_word(const Json& json, const char* name, Enum& into,
                        Result<Enum> (*parse)(std::string_view)) {
    const auto word = TRY(codec::json::optional_text_field(json, name));
    if (word) into = TRY(parse(*word));
    return {};
}

}  // namespace

Json to_json(const Configuration& configuration) {
    Json epc = Json::array();
    for (const auto& section : configuration.epc)
        epc.push_back({{"size_mib", section.size_mib},
                       {"base", section.base ? Json(section.base->value()) : Json(nullptr)},
                       {"node", section.node}});
    return {{"epc", std::move(epc)},
            {"backend", std::string(to_string(configuration.backend))},
            {"sgx1", configuration.sgx1},
            {"sgx2", configuration.sgx2},
            {"launch_control",
             {{"hash", launch_hash_text(configuration.launch_hash)},
              {"writable", configuration.launch_hash_writable}}},
            {"provision_key", configuration.provision_key},
            {"population", std::string(to_string(configuration.population))},
            {"budget_mib", configuration.budget_mib ? Json(*configuration.budget_mib) : Json(nullptr)},
            {"balloon_mib", configuration.balloon_mib ? Json(*configuration.balloon_mib) : Json(nullptr)},
            {"key_root", std::string(to_string(configuration.key_root))},
            {"on_migrate", std::string(to_string(configuration.on_migrate))}};
}

Result<Configuration> parse_configuration(const Json& json) {
    TRY(codec::json::check_fields(json, kFields));
    Configuration configuration;
    const auto* epc = TRY(codec::json::array_field(json, "epc"));
    for (const auto& item : *epc) {
        auto section = TRY(parse_section(item).context("epc"));
        configuration.epc.push_back(section);
    }
    TRY(parse_launch_control(json, configuration).context("launch_control"));
    TRY(parse_flag(json, "sgx1", configuration.sgx1));
    TRY(parse_flag(json, "sgx2", configuration.sgx2));
    TRY(parse_flag(json, "provision_key", configuration.provision_key));
    TRY(parse_word(json, "backend", configuration.backend, parse_backend));
    TRY(parse_word(json, "population", configuration.population, parse_population));
    TRY(parse_word(json, "key_root", configuration.key_root, parse_key_root));
    TRY(parse_word(json, "on_migrate", configuration.on_migrate, parse_on_migrate));
    configuration.budget_mib = TRY(codec::json::optional_unsigned_field(json, "budget_mib"));
    configuration.balloon_mib = TRY(codec::json::optional_unsigned_field(json, "balloon_mib"));
    return configuration;
}

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
//
// The library's values never leave this file, and it throws nothing.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include "cli/vm_config.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <sstream>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <toml++/toml.h>
#pragma GCC diagnostic pop

#include "cli/parse.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

constexpr uint64_t kMaxFile = 64 * 1024;
constexpr std::array<std::string_view, 15> kKeys = {
    "name",  "kernel", "kernel_root", "ramdisk",  "disk",           "net",     "cpus", "memory",
    "pages", "policy", "cmdline",     "enclaves", "enclave_policy", "enclave", "sgx"};
constexpr std::array<std::string_view, 7> kEnclaveKeys = {"image",  "name",  "cpus", "memory",
                                                          "policy", "debug", "cid"};
constexpr std::array<std::string_view, 11> kSgxKeys = {
    "epc",        "backend",    "sgx1",        "sgx2",     "launch_control", "provision_key",
    "population", "budget_mib", "balloon_mib", "key_root", "on_migrate"};
constexpr std::array<std::string_view, 3> kEpcKeys = {"size", "base", "node"};
constexpr std::array<std::string_view, 2> kLaunchControlKeys = {"hash", "writable"};

Failure wrong(std::string_view key, std::string_view wanted) {
    return fail(ErrorCode::InvalidArgument, "'" + std::string(key) + "' is " + std::string(wanted));
}

// Empty when it is not there.
Result<std::vector<std::string>> texts(const toml::table& table, std::string_view key) {
    std::vector<std::string> found;
    const auto* const node = table.get(key);
    if (node == nullptr) return found;
    if (const auto text = node->value_exact<std::string>()) return std::vector<std::string>{*text};
    const auto* const list = node->as_array();
    if (list == nullptr) return wrong(key, "a text, or a list of texts");
    for (const auto& item : *list) {
        const auto text = item.value_exact<std::string>();
        if (!text) return wrong(key, "a text, or a list of texts");
        found.push_back(*text);
    }
    return found;
}

Result<std::string> text(const toml::table& table, std::string_view key) {
    auto found = TRY(texts(table, key));
    if (found.size() > 1) return wrong(key, "one text");
    return found.empty() ? std::string() : found.front();
}

Result<std::optional<uint64_t>> number(const toml::table& table, std::string_view key) {
    const auto* const node = table.get(key);
    if (node == nullptr) return std::optional<uint64_t>();
    const auto value = node->value_exact<int64_t>();
    if (!value || *value <= 0) return wrong(key, "a number above 0");
    return std::optional<uint64_t>(static_cast<uint64_t>(*value));
}

Result<std::optional<bool>> boolean(const toml::table& table, const char* key) {
    const auto* const node = table.get(key);
    if (node == nullptr) return std::optional<bool>();
    const auto value = node->value_exact<bool>();
    if (!value) return wrong(key, "true or false");
    return std::optional<bool>(*value);
}

Result<std::optional<uint64_t>> memory(const toml::table& table, std::string_view key) {
    const auto* const node = table.get(key);
    const auto amount = node != nullptr ? node->value_exact<std::string>() : std::nullopt;
    if (!amount) return number(table, key);
    const auto mib = TRY(parse_memory_mib(*amount));
    return std::optional<uint64_t>(mib);
}

template <size_t N>
Result<void> check_keys(const toml::table& table, const std::array<std::string_view, N>& known) {
    for (const auto& [key, value] : table)
        if (std::ranges::find(known, key.str()) == known.end())
            return fail(ErrorCode::InvalidArgument, "unknown key '" + std::string(key.str()) + "'");
    return {};
}

// `base` and `node` may be 0.
Result<std::optional<uint64_t>> number_from_0(const toml::table& table, std::string_view key) {
    const auto* const node = table.get(key);
    if (node == nullptr) return std::optional<uint64_t>();
    const auto value = node->value_exact<int64_t>();
    if (!value || *value < 0) return wrong(key, "a number from 0 on");
    return std::optional<uint64_t>(static_cast<uint64_t>(*value));
}

Result<sgx::SectionPlan> epc_section(const toml::table& table) {
    TRY(check_keys(table, kEpcKeys));
    const auto size = TRY(memory(table, "size"));
    const auto base = TRY(number_from_0(table, "base"));
    const auto node = TRY(number_from_0(table, "node"));
    if (!size) return wrong("size", "needed: MiB as a number, or a text like \"8M\"");
    if (node && *node > UINT32_MAX) return wrong("node", "a number of a NUMA node");
    sgx::SectionPlan section{.size_mib = *size, .node = static_cast<uint32_t>(node.value_or(0))};
    if (base) section.base = memory::GuestAddress(*base);
    return section;
}

Result<void> fill_epc(sgx::Configuration& configuration, const toml::table& table) {
    const auto* const node = table.get("epc");
    if (node == nullptr) return {};
    const auto* const sections = node->as_array();
    if (sections == nullptr) return wrong("epc", "a list of sections: [[sgx.epc]]");
    for (const auto& item : *sections) {
        const auto* const section = item.as_table();
        if (section == nullptr) return wrong("epc", "a list of sections: [[sgx.epc]]");
        auto plan = TRY(epc_section(*section).context("epc"));
        configuration.epc.push_back(plan);
    }
    return {};
}

Result<void> fill_launch_control(sgx::Configuration& configuration, const toml::table& table) {
    const auto* const node = table.get("launch_control");
    if (node == nullptr) return {};
    const auto* const control = node->as_table();
    if (control == nullptr) return wrong("launch_control", "a table with hash and writable");
    TRY(check_keys(*control, kLaunchControlKeys));
    const auto hash = TRY(text(*control, "hash"));
    const auto writable = TRY(boolean(*control, "writable"));
    if (!hash.empty()) configuration.launch_hash = TRY(sgx::parse_launch_hash(hash));
    configuration.launch_hash_writable = writable.value_or(true);
    return {};
}

template <typename Enum>
Result<void> fill_word(Enum& into, const toml::table& table, std::string_view key,
                       Result<Enum> (*parse)(std::string_view)) {
    const auto word = TRY(text(table, key));
    if (!word.empty()) into = TRY(parse(word));
    return {};
}

Result<std::optional<sgx::Configuration>> sgx_of(const toml::table& whole) {
    const auto* const node = whole.get("sgx");
    if (node == nullptr) return std::optional<sgx::Configuration>();
    const auto* const table = node->as_table();
    if (table == nullptr) return wrong("sgx", "a table");
    TRY(check_keys(*table, kSgxKeys));
    sgx::Configuration configuration;
    TRY(fill_epc(configuration, *table));
    TRY(fill_launch_control(configuration, *table));
    TRY(fill_word(configuration.backend, *table, "backend", sgx::parse_backend));
    TRY(fill_word(configuration.population, *table, "population", sgx::parse_population));
    TRY(fill_word(configuration.key_root, *table, "key_root", sgx::parse_key_root));
    TRY(fill_word(configuration.on_migrate, *table, "on_migrate", sgx::parse_on_migrate));
    configuration.budget_mib = TRY(number(*table, "budget_mib"));
    configuration.balloon_mib = TRY(number(*table, "balloon_mib"));
    const auto sgx1 = TRY(boolean(*table, "sgx1"));
    const auto sgx2 = TRY(boolean(*table, "sgx2"));
    const auto provision_key = TRY(boolean(*table, "provision_key"));
    configuration.sgx1 = sgx1.value_or(true);
    configuration.sgx2 = sgx2.value_or(configuration.sgx1);
    configuration.provision_key = provision_key.value_or(false);
    return std::optional(std::move(configuration));
}

std::string beside(const std::string& folder, const std::string& file) {
    return (std::filesystem::path(folder) / file).string();  // an absolute one stays as it is
}

Result<void> fill_files(VmStart& command, const toml::table& table, const std::string& folder) {
    const auto kernel = TRY(text(table, "kernel"));
    const auto root = TRY(text(table, "kernel_root"));
    const auto ramdisks = TRY(texts(table, "ramdisk"));
    const auto disks = TRY(texts(table, "disk"));
    if (command.kernel.empty() && !kernel.empty())
        command.kernel = kernel == "debian" ? kernel : beside(folder, kernel);
    if (command.kernel_root.empty() && !root.empty()) command.kernel_root = beside(folder, root);
    if (command.ramdisks.empty())
        for (const auto& file : ramdisks)
            command.ramdisks.push_back(beside(folder, file));
    if (command.disks.empty())
        for (const auto& file : disks)
            command.disks.push_back(beside(folder, file));
    return {};
}

Result<ProvisionedEnclave> read_enclave(const toml::table& table, const std::string& folder) {
    TRY(check_keys(table, kEnclaveKeys));
    ProvisionedEnclave enclave;
    enclave.image = TRY(text(table, "image"));
    if (enclave.image.empty()) return wrong("image", "the file of an enclave image");
    enclave.image = beside(folder, enclave.image);
    enclave.name = TRY(text(table, "name"));
    enclave.policy = TRY(text(table, "policy"));
    const auto cpus = TRY(number(table, "cpus"));
    if (cpus && *cpus > UINT32_MAX) return wrong("cpus", "a number of vCPUs");
    if (cpus) enclave.vcpus = static_cast<uint32_t>(*cpus);
    enclave.memory_mib = TRY(memory(table, "memory"));
    const auto debug = TRY(boolean(table, "debug"));
    enclave.debug = debug.value_or(false);
    enclave.cid = TRY(number(table, "cid"));
    return enclave;
}

Result<void> fill_enclaves(VmStart& command, const toml::table& table, const std::string& folder) {
    const auto* const node = table.get("enclave");
    if (node == nullptr) return {};
    const auto* const list = node->as_array();
    if (list == nullptr) return wrong("enclave", "a list of tables: [[enclave]]");
    for (const auto& item : *list) {
        const auto* const one = item.as_table();
        if (one == nullptr) return wrong("enclave", "a list of tables: [[enclave]]");
        auto enclave = TRY(read_enclave(*one, folder).context("[[enclave]]"));
        command.provisioned.push_back(std::move(enclave));
    }
    return {};
}

}  // namespace

Result<VmStart> apply_configuration(VmStart command, std::string_view content, const std::string& folder) {
    const auto parsed = toml::parse(content);
    if (!parsed) {
        std::ostringstream where;
        where << "line " << parsed.error().source().begin.line << ": " << parsed.error().description();
        return fail(ErrorCode::InvalidArgument, where.str());
    }
    const toml::table& table = parsed.table();
    TRY(check_keys(table, kKeys));
    TRY(fill_files(command, table, folder));
    TRY(fill_enclaves(command, table, folder));
    const auto networks = TRY(texts(table, "net"));
    if (command.networks.empty()) command.networks = networks;
    const auto name = TRY(text(table, "name"));
    if (command.name.empty()) command.name = name;
    const auto pages = TRY(text(table, "pages"));
    if (command.pages.empty()) command.pages = pages;
    const auto policy = TRY(text(table, "policy"));
    if (command.policy.empty()) command.policy = policy;
    const auto enclaves = TRY(boolean(table, "enclaves"));
    if (!command.enclaves) command.enclaves = enclaves;
    const auto enclave_policy = TRY(text(table, "enclave_policy"));
    if (command.enclave_policy.empty()) command.enclave_policy = enclave_policy;
    const auto line = TRY(text(table, "cmdline"));
    if (!command.command_line && table.contains("cmdline")) command.command_line = line;
    const auto cpus = TRY(number(table, "cpus"));
    if (cpus && *cpus > UINT32_MAX) return wrong("cpus", "a number of vCPUs");
    if (!command.vcpus && cpus) command.vcpus = static_cast<uint32_t>(*cpus);
    const auto mib = TRY(memory(table, "memory"));
    if (!command.memory_mib) command.memory_mib = mib;
    command.sgx = TRY(sgx_of(table).context("sgx"));
    return command;
}

Result<VmStart> with_configuration(VmStart command) {
    const std::string file = command.configuration;
    if (file.empty()) return command;
    const auto content = TRY(sys::read_file(file, kMaxFile));
    const auto folder = std::filesystem::path(file).parent_path().string();
    return apply_configuration(std::move(command), as_text(content), folder).context(file);
}

}  // namespace alcove::cli

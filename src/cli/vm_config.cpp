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
constexpr std::array<std::string_view, 14> kKeys = {
    "name",  "kernel", "kernel_root", "ramdisk",  "disk",           "net",    "cpus", "memory",
    "pages", "policy", "cmdline",     "enclaves", "enclave_policy", "enclave"};
constexpr std::array<std::string_view, 7> kEnclaveKeys = {"image",  "name",  "cpus", "memory",
                                                          "policy", "debug", "cid"};

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

Result<std::optional<uint64_t>> memory(const toml::table& table) {
    const auto* const node = table.get("memory");
    const auto amount = node != nullptr ? node->value_exact<std::string>() : std::nullopt;
    if (!amount) return number(table, "memory");
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
    enclave.memory_mib = TRY(memory(table));
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
    const auto mib = TRY(memory(table));
    if (!command.memory_mib) command.memory_mib = mib;
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

// SPDX-License-Identifier: Apache-2.0
#include "cli/host_map.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/output.hpp"
#include "cli/table.hpp"

namespace alcove::cli {

namespace {

constexpr const char* kHost = "host";
constexpr const char* kFree = "free";
constexpr size_t kMinBar = 10;
constexpr size_t kMaxBar = 40;
constexpr size_t kBesideBar = 40;  // columns of a memory line that are not its bar

struct Owner {
    std::string name;    // "" of one without
    std::string parent;  // id of its primary VM, or ""
};
using Owners = std::map<std::string, Owner>;

std::string text_or_empty(const Json& json, const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

uint64_t bytes_of(const Json& line, const char* key) {
    const auto found = line.find(key);
    return found != line.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

void add_owners(Owners& owners, const Json& list) {
    for (const auto& vm : list)
        owners[text_or_empty(vm, "id")] = {.name = text_or_empty(vm, "name"),
                                           .parent = text_or_empty(vm, "parent")};
}

// The host first, what is free last, enclaves behind their primary VM; each once.
std::vector<std::string> in_order(const Owners& owners, std::vector<std::string> holders) {
    const auto key = [&](const std::string& id) {
        const auto owner = owners.find(id);
        const std::string parent = owner != owners.end() ? owner->second.parent : "";
        const int group = id == kHost ? 0 : id == kFree ? 2 : 1;
        return std::tuple(group, parent.empty() ? id : parent, !parent.empty(), id);
    };
    std::ranges::sort(holders, {}, key);
    holders.erase(std::unique(holders.begin(), holders.end()), holders.end());
    return holders;
}

Json owner_fields(const Owners& owners, const std::string& id) {
    const auto owner = owners.find(id);
    const auto or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
    const Owner known = owner != owners.end() ? owner->second : Owner{};
    return {{"owner", id}, {"name", or_null(known.name)}, {"parent", or_null(known.parent)}};
}

// "dev", or for one without a name the end of its id, which tells it from its neighbours.
std::string label_of(const Json& line) {
    std::string label = text_or_empty(line, "name");
    const std::string id = text_or_empty(line, "owner");
    if (label.empty()) label = id.size() > 12 ? "..." + id.substr(id.size() - 9) : id;
    return (line["parent"].is_string() ? "  + " : "") + one_line(label);
}

std::string cpu_list(const Json& cpus) {
    std::string text;
    for (const auto& cpu : cpus)
        text += (text.empty() ? "" : ",") + codec::json::dump(cpu);
    return text;
}

std::string bar(uint64_t bytes, uint64_t total, size_t width) {
    size_t cells = static_cast<size_t>(static_cast<unsigned __int128>(bytes) * width / total);
    if (cells == 0) cells = 1;
    return std::string(cells, '#') + std::string(width - cells, '.');
}

Json core_lines(const Json& host, const Owners& owners, const std::map<uint64_t, std::string>& holders) {
    Json lines = Json::array();
    for (const auto& core : host["topology"]["cores"]) {
        const auto holder = holders.find(bytes_of(core, "id"));
        Json line = owner_fields(owners, holder != holders.end() ? holder->second : kHost);
        line["core"] = core["id"];
        line["node"] = core["node"];
        line["cpus"] = core["cpus"];
        lines.push_back(std::move(line));
    }
    return lines;
}

}  // namespace

Json host_map(const Json& host, const Json& vms, const Json& enclaves) {
    Owners owners;
    add_owners(owners, vms.at("vms"));
    add_owners(owners, enclaves.at("enclaves"));
    std::map<uint64_t, std::string> core_holders;
    std::map<std::string, std::map<std::string, uint64_t>> memory;  // by owner, then by pages
    std::map<std::string, std::map<std::string, uint64_t>> epc;     // by owner, then by what it is made of
    std::vector<std::string> holders = {kHost, kFree};
    uint64_t lendable = 0;
    for (const auto& node : host.at("ledger")) {
        for (const auto& line : node.at("owners")) {
            const std::string owner = text_or_empty(line, "owner");
            holders.push_back(owner);
            for (const auto& core : line.at("cores"))
                core_holders[core.get<uint64_t>()] = owner;
            memory[owner]["4k"] += bytes_of(line, "memory_4k_bytes");
            memory[owner]["2m"] += bytes_of(line, "memory_2m_bytes");
            epc[owner]["memory"] += bytes_of(line, "epc_bytes");
            epc[owner]["EPC of the host"] += bytes_of(line, "hardware_epc_bytes");
            lendable += bytes_of(line, "memory_4k_bytes") + bytes_of(line, "memory_2m_bytes") +
                        bytes_of(line, "epc_bytes");
        }
    }
    // What nobody may have: the host's own.
    const uint64_t total = bytes_of(host.at("memory"), "total_bytes");
    memory[kHost]["4k"] += total > lendable ? total - lendable : 0;

    Json lines = Json::array();
    Json epc_lines = Json::array();
    for (const auto& owner : in_order(owners, std::move(holders))) {
        for (const auto& [pages, bytes] : memory[owner]) {
            if (bytes == 0) continue;
            Json line = owner_fields(owners, owner);
            line["bytes"] = bytes;
            line["pages"] = pages;
            lines.push_back(std::move(line));
        }
        for (const auto& [made_of, bytes] : epc[owner]) {
            if (bytes == 0) continue;
            Json line = owner_fields(owners, owner);
            line["bytes"] = bytes;
            line["made_of"] = made_of;
            epc_lines.push_back(std::move(line));
        }
    }
    return {{"cores", core_lines(host, owners, core_holders)},
            {"memory", std::move(lines)},
            {"epc", std::move(epc_lines)}};
}

std::string render_host_map(const Json& map, size_t width) {
    std::vector<std::vector<std::string>> cores = {{"CPUS", "CORE OF"}};
    for (const auto& line : map["cores"])
        cores.push_back({cpu_list(line["cpus"]), label_of(line)});

    uint64_t total = 0;
    for (const auto& line : map["memory"])
        total += bytes_of(line, "bytes");
    const size_t bar_width = std::clamp(width > kBesideBar ? width - kBesideBar : 0, kMinBar, kMaxBar);
    std::vector<std::vector<std::string>> memory = {{"MEMORY OF", "", "SIZE", "PAGES"}};
    for (const auto& line : map["memory"]) {
        const uint64_t bytes = bytes_of(line, "bytes");
        memory.push_back({label_of(line), bar(bytes, total, bar_width), size_text(bytes),
                          text_or_empty(line, "pages") == "2m" ? "2 MiB" : "4 KiB"});
    }
    std::vector<std::vector<std::string>> epc = {{"EPC OF", "SIZE", "MADE OF"}};
    for (const auto& line : map["epc"])
        epc.push_back({label_of(line), size_text(bytes_of(line, "bytes")), text_or_empty(line, "made_of")});
    return render_table(cores) + "\n" + render_table(memory) + "\n" +
           (epc.size() == 1 ? "EPC: none\n" : render_table(epc));
}

}  // namespace alcove::cli

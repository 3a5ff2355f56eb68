// SPDX-License-Identifier: Apache-2.0
#include "cli/sgx_view.hpp"

#include <cinttypes>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cli/tree.hpp"

namespace alcove::cli {

using codec::json::Json;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr uint64_t kPage = 4096;

uint64_t number_at(const Json& tree, const std::string& path) {
    const auto part = find_part(tree, path);
    return part && (*part)->is_number_unsigned() ? (*part)->get<uint64_t>() : 0;
}

bool is_true(const Json& tree, const std::string& path) {
    const auto part = find_part(tree, path);
    return part && (*part)->is_boolean() && (*part)->get<bool>();
}

std::string text_at(const Json& tree, const std::string& path) {
    const auto part = find_part(tree, path);
    return part && (*part)->is_string() ? one_line((*part)->get<std::string>()) : "";
}

// Borrowed from `tree`, or an empty list.
const Json& list_at(const Json& tree, const std::string& path) {
    static const Json kNone = Json::array();
    const auto part = find_part(tree, path);
    return part && (*part)->is_structured() ? **part : kNone;
}

std::string yes_no(bool value) {
    return value ? "yes" : "no";
}

std::string address_text(uint64_t address) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%" PRIx64, address);
    return text;
}

std::string section_text(const Json& section) {
    return size_text(number_at(section, "size")) + " at " + address_text(number_at(section, "base"));
}

std::string pages_text(uint64_t pages) {
    return std::to_string(pages) + " pages (" + size_text(pages * kPage) + ")";
}

std::string hash_text(const Json& enclave, const char* field) {
    const std::string text = text_at(enclave, field);
    return text.empty() ? "-" : text;
}

// "EADD 12, EENTER 3 (1 faulted)": what was used.
std::string leaves_text(const Json& leaves) {
    std::string text;
    for (const auto& [name, count] : leaves.items()) {
        const bool of_enclave = count.is_number_unsigned();
        const uint64_t completed = of_enclave ? count.get<uint64_t>() : number_at(count, "completed");
        const uint64_t faulted = of_enclave ? 0 : number_at(count, "faulted");
        if (completed + faulted == 0) continue;
        text += (text.empty() ? "" : ", ") + one_line(name) + " " + std::to_string(completed);
        if (faulted != 0) text += " (" + std::to_string(faulted) + " faulted)";
    }
    return text.empty() ? "none" : text;
}

std::string spill_text(const Json& spill) {
    return std::to_string(number_at(spill, "evictions")) + " evictions, " +
           std::to_string(number_at(spill, "loads")) + " loads, " +
           std::to_string(number_at(spill, "overdrafts")) + " beyond the budget";
}

// What is held is counted; what is reported is the word of a program in the guest.
std::string balloon_text(const Json& balloon) {
    return size_text(number_at(balloon, "target_bytes")) + " asked for, " +
           size_text(number_at(balloon, "held_bytes")) + " held, " +
           size_text(number_at(balloon, "reported_bytes")) + " reported";
}

// "2 MiB of 4 MiB of EPC"
std::string of_epc_text(const Json& sgx, const std::string& path) {
    uint64_t size_mib = 0;
    for (const auto& section : list_at(sgx, "configuration.epc"))
        size_mib += number_at(section, "size_mib");
    return std::to_string(number_at(sgx, path)) + " MiB of " + std::to_string(size_mib) + " MiB of EPC";
}

std::string render_enclaves(const Json& state) {
    const auto& enclaves = list_at(state, "enclaves");
    if (enclaves.empty()) return "  no enclaves\n";
    std::string text;
    for (const auto& enclave : enclaves) {
        const char* kind = !is_true(enclave, "initialized") ? " (being built)"
                           : is_true(enclave, "debug")      ? " (debug)"
                                                            : "";
        text += "  enclave " + std::to_string(number_at(enclave, "eid")) + kind + "\n";
        text += render_fields({{"mrenclave", hash_text(enclave, "mrenclave")},
                               {"mrsigner", hash_text(enclave, "mrsigner")},
                               {"size", size_text(number_at(enclave, "size")) + " at " +
                                            address_text(number_at(enclave, "base"))},
                               {"in EPC", pages_text(number_at(enclave, "pages"))},
                               {"threads inside", std::to_string(number_at(enclave, "threads_inside"))},
                               {"leaves", leaves_text(list_at(enclave, "leaves"))},
                               {"AEX", std::to_string(number_at(enclave, "asynchronous_exits"))}},
                              4);
    }
    const uint64_t in_all = number_at(state, "enclaves_in_all");
    if (in_all > enclaves.size())
        text += "  and " + std::to_string(in_all - enclaves.size()) + " enclaves more\n";
    return text;
}

std::string render_vm_sgx(const Json& vm) {
    const std::string name = text_at(vm, "name");
    std::string text = text_at(vm, "id") + (name.empty() ? "" : "  " + name) + "\n";
    Fields fields;
    const auto& configuration = list_at(vm, "configuration");
    fields.emplace_back("backend", text_at(configuration, "backend"));
    fields.emplace_back("population", text_at(configuration, "population"));
    const uint64_t budget = number_at(configuration, "budget_mib");
    if (budget != 0) fields.emplace_back("budget", std::to_string(budget) + " MiB");
    fields.emplace_back("keys", text_at(configuration, "key_root"));
    const auto& state = list_at(vm, "state");
    if (state.empty()) {
        for (const auto& section : list_at(configuration, "epc"))
            fields.emplace_back("section", std::to_string(number_at(section, "size_mib")) + " MiB");
        fields.emplace_back("state", text_at(vm, "state_missing"));
        return text + render_fields(fields, 2);
    }
    for (const auto& section : list_at(state, "sections"))
        fields.emplace_back("section", section_text(section));
    if (text_at(configuration, "backend") == "hardware") {
        fields.emplace_back("enclaves", "not seen: the host's processors run them, and do not tell");
        return text + render_fields(fields, 2);
    }
    fields.emplace_back("in use", pages_text(number_at(state, "valid_pages")));
    fields.emplace_back("resident", pages_text(number_at(state, "resident_pages")));
    fields.emplace_back("evicted", pages_text(number_at(state, "evicted_pages")));
    const auto& spill = list_at(state, "spill");
    if (!spill.empty()) fields.emplace_back("spilled", spill_text(spill));
    const auto& balloon = list_at(state, "balloon");
    if (!balloon.empty()) fields.emplace_back("balloon", balloon_text(balloon));
    fields.emplace_back("leaves", leaves_text(list_at(state, "leaves")));
    fields.emplace_back("AEX", std::to_string(number_at(state, "asynchronous_exits")));
    return text + render_fields(fields, 2) + render_enclaves(state);
}

}  // namespace

std::string render_sgx_host(const Json& sgx) {
    Fields hardware;
    const bool present = is_true(sgx, "hardware.present");
    hardware.emplace_back("hardware", present ? "SGX" : "this host's processors have no SGX");
    if (present) {
        hardware.emplace_back("SGX1", yes_no(is_true(sgx, "hardware.sgx1")));
        hardware.emplace_back("SGX2", yes_no(is_true(sgx, "hardware.sgx2")));
        hardware.emplace_back("launch control", yes_no(is_true(sgx, "hardware.launch_control")));
        hardware.emplace_back("/dev/sgx_enclave", yes_no(is_true(sgx, "hardware.enclave_device")));
        hardware.emplace_back("/dev/sgx_vepc", yes_no(is_true(sgx, "hardware.virtual_epc_device")));
        for (const auto& section : list_at(sgx, "hardware.sections")) {
            const bool has_node = section.contains("node") && !section["node"].is_null();
            hardware.emplace_back(
                "section", section_text(section) +
                               (has_node ? ", node " + std::to_string(number_at(section, "node")) : ""));
        }
        for (const auto& node : list_at(sgx, "hardware.nodes"))
            hardware.emplace_back("node " + std::to_string(number_at(node, "node")),
                                  size_text(number_at(node, "total_bytes")));
        const bool lends = is_true(sgx, "hardware.virtual_epc_device");
        hardware.emplace_back("lent", lends ? size_text(number_at(sgx, "hardware.lent_bytes"))
                                            : "none: VMs have SGX in software");
        if (lends) hardware.emplace_back("free", size_text(number_at(sgx, "hardware.free_bytes")));
    }
    hardware.emplace_back("software", "SGX1, SGX2, launch control; EPC is memory of this host");
    hardware.emplace_back("budget", size_text(number_at(sgx, "software.total_bytes")));
    hardware.emplace_back("lent", size_text(number_at(sgx, "software.lent_bytes")));
    hardware.emplace_back("free", size_text(number_at(sgx, "software.free_bytes")));
    std::string text = render_fields(hardware);
    std::vector<std::vector<std::string>> rows = {{"NODE", "OWNER", "EPC", "MADE OF"}};
    const auto add_owners = [&](const std::string& list, const std::string& made_of) {
        for (const auto& line : list_at(sgx, list))
            rows.push_back({std::to_string(number_at(line, "node")), text_at(line, "owner"),
                            size_text(number_at(line, "bytes")), made_of});
    };
    add_owners("hardware.owners", "EPC of the host");
    add_owners("software.owners", "memory");
    return rows.size() == 1 ? text : text + "\n" + render_table(rows);
}

std::string render_sgx_budget(const Json& sgx) {
    return of_epc_text(sgx, "configuration.budget_mib") + " in memory";
}

std::string render_sgx_balloon(const Json& sgx) {
    return of_epc_text(sgx, "configuration.balloon_mib") + " asked for, " +
           size_text(number_at(sgx, "state.balloon.held_bytes")) + " held by now";
}

std::string render_sgx_list(const Json& vms) {
    if (vms.empty()) return "no VM with SGX runs\n";
    std::string text;
    for (const auto& vm : vms)
        text += (text.empty() ? "" : "\n") + render_vm_sgx(vm);
    return text;
}

}  // namespace alcove::cli

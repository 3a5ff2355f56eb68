// SPDX-License-Identifier: Apache-2.0
#include "cli/vm_view.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>

#include <nlohmann/json.hpp>

#include "cli/progress.hpp"
#include "cli/table.hpp"
#include "support/bits.hpp"
#include "support/error_catalog.hpp"

namespace alcove::cli {

using codec::json::Json;

namespace {

Result<std::string> text_or_nothing(const Json& json, std::string_view name) {
    auto text = TRY(codec::json::optional_text_field(json, name));
    return text.value_or("");
}

Result<void> read_outcome(const Json& json, VmView& view) {
    view.reason = TRY(text_or_nothing(json, "reason"));
    view.detail = TRY(text_or_nothing(json, "detail"));
    if (const auto* error = TRY(codec::json::optional_object_field(json, "error"))) {
        const auto code = TRY(codec::json::text_field(*error, "code"));
        const auto message = TRY(codec::json::text_field(*error, "message"));
        const auto entry = find_error(code);
        view.error = Error(entry ? entry->code : ErrorCode::EnclaveLaunchFailed, message);
    }
    return {};
}

Result<void> read_measurements(const Json& json, VmView& view) {
    const auto* measurements = TRY(codec::json::optional_object_field(json, "measurements"));
    for (const char* name : {"pcr0", "pcr1", "pcr2", "pcr8"}) {
        if (measurements == nullptr) break;
        const auto value = TRY(codec::json::optional_text_field(*measurements, name));
        std::string label(name);
        std::ranges::transform(label, label.begin(),
                               [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        if (value) view.pcrs.emplace_back(label, *value);
    }
    if (const auto* signature = TRY(codec::json::optional_object_field(json, "signature")))
        view.signer = TRY(codec::json::text_field(*signature, "subject"));
    return {};
}

Result<void> read_enclave_fields(const Json& json, VmView& view) {
    view.ready = TRY(codec::json::boolean_field(json, "ready"));
    view.debug = TRY(codec::json::boolean_field(json, "debug"));
    view.parent = TRY(text_or_nothing(json, "parent"));
    return read_measurements(json, view);
}

Result<void> read_epc_use(const Json& json, VmView& view) {
    const auto* state = TRY(codec::json::optional_object_field(json, "sgx_state"));
    if (state == nullptr) return {};
    const auto resident = TRY(codec::json::optional_unsigned_field(*state, "resident_pages"));
    if (!resident) return {};  // the processors' SGX tells nothing
    EpcUse use{.resident_pages = *resident};
    use.evicted_pages = TRY(codec::json::unsigned_field(*state, "evicted_pages"));
    use.enclaves = TRY(codec::json::unsigned_field(*state, "enclaves_in_all"));
    view.epc_use = use;
    return {};
}

Result<void> read_primary_fields(const Json& json, VmView& view) {
    view.restarts = TRY(codec::json::unsigned_field(json, "restarts"));
    const auto* disks = TRY(codec::json::array_field(json, "disks"));
    for (const auto& item : *disks) {
        DiskView disk;
        disk.bytes = TRY(codec::json::unsigned_field(item, "bytes"));
        disk.read_only = TRY(codec::json::boolean_field(item, "read_only"));
        disk.serial = TRY(text_or_nothing(item, "serial"));
        view.disks.push_back(std::move(disk));
    }
    const auto* networks = TRY(codec::json::array_field(json, "networks"));
    for (const auto& item : *networks) {
        NetworkView network;
        network.kind = TRY(codec::json::text_field(item, "kind"));
        network.mac = TRY(codec::json::text_field(item, "mac"));
        view.networks.push_back(std::move(network));
    }
    const auto* sgx = TRY(codec::json::optional_object_field(json, "sgx"));
    if (sgx == nullptr) return {};
    const auto* epc = TRY(codec::json::array_field(*sgx, "epc"));
    for (const auto& section : *epc) {
        const uint64_t mib = TRY(codec::json::unsigned_field(section, "size_mib"));
        view.epc_mib += mib;
    }
    view.population = TRY(codec::json::text_field(*sgx, "population"));
    return read_epc_use(json, view);
}

std::vector<std::string> epc_use_cells(const VmView& vm) {
    const std::string population = vm.epc_mib == 0 ? "-" : vm.population;
    if (!vm.epc_use) return {population, "-", "-", "-"};
    constexpr uint64_t kPage = 4_KiB;
    return {population, size_text(vm.epc_use->resident_pages * kPage),
            size_text(vm.epc_use->evicted_pages * kPage), std::to_string(vm.epc_use->enclaves)};
}

}  // namespace

Result<VmView> read_vm(const Json& json, VmKind kind) {
    VmView view;
    view.kind = kind;
    view.id = TRY(codec::json::text_field(json, "id"));
    view.name = TRY(text_or_nothing(json, "name"));
    view.state = TRY(codec::json::text_field(json, "state"));
    view.cid = TRY(codec::json::unsigned_field(json, "cid"));
    view.vcpus = TRY(codec::json::unsigned_field(json, "vcpus"));
    view.memory_mib = TRY(codec::json::unsigned_field(json, "memory_mib"));
    view.pages = TRY(codec::json::text_field(json, "pages"));
    view.policy = TRY(codec::json::text_field(json, "policy"));
    view.core_note = TRY(text_or_nothing(json, "core_note"));
    view.created = TRY(text_or_nothing(json, "created"));
    TRY(kind == VmKind::Enclave ? read_enclave_fields(json, view) : read_primary_fields(json, view));
    TRY(read_outcome(json, view));
    if (const auto* progress = TRY(codec::json::optional_object_field(json, "progress"))) {
        const uint64_t done = TRY(codec::json::unsigned_field(*progress, "done"));
        const uint64_t total = TRY(codec::json::unsigned_field(*progress, "total"));
        view.progress = {done, total};
    }
    return view;
}

std::string state_text(const VmView& vm) {
    if (vm.ready) return vm.state + " (ready)";
    if (vm.error) return vm.state + ": " + code_label(vm.error->code());
    if (!vm.reason.empty()) return vm.state + ": " + vm.reason;
    return vm.state;
}

std::string render_list(const std::vector<VmView>& vms, VmKind kind) {
    const bool enclaves = kind == VmKind::Enclave;
    if (vms.empty()) return enclaves ? "no enclaves\n" : "no VMs\n";
    std::vector<std::vector<std::string>> rows = {
        {"NAME", "ID", "STATE", enclaves ? "CID" : "RESTARTS", "CPUS", "MEMORY", "PAGES"}};
    const auto add = [&rows](std::vector<std::string> cells) {
        std::ranges::move(cells, std::back_inserter(rows.back()));
    };
    const bool have_epc = std::ranges::any_of(vms, [](const VmView& vm) { return vm.epc_mib != 0; });
    add({enclaves ? "DEBUG" : "EPC"});
    if (have_epc) add({"POPULATION", "RESIDENT", "EVICTED", "ENCLAVES"});
    if (!enclaves) add({"DISKS"});
    add({"CREATED"});
    const bool have_parents = std::ranges::any_of(vms, [](const VmView& vm) { return !vm.parent.empty(); });
    if (have_parents) add({"VM"});
    for (const auto& vm : vms) {
        rows.push_back({vm.name.empty() ? "-" : vm.name, vm.id, state_text(vm),
                        std::to_string(enclaves ? vm.cid : vm.restarts), std::to_string(vm.vcpus),
                        size_text(vm.memory_mib * 1_MiB), vm.pages});
        if (enclaves)
            add({vm.debug ? "yes" : "no"});
        else
            add({vm.epc_mib == 0 ? "-" : size_text(vm.epc_mib * 1_MiB)});
        if (have_epc) add(epc_use_cells(vm));
        if (!enclaves) add({std::to_string(vm.disks.size())});
        add({vm.created});
        if (have_parents) add({vm.parent.empty() ? "-" : vm.parent});
    }
    return render_table(rows);
}

std::string render_vm(const VmView& vm) {
    std::vector<std::pair<std::string, std::string>> fields;
    if (!vm.name.empty()) fields.emplace_back("name", vm.name);
    fields.emplace_back("state", state_text(vm));
    fields.emplace_back("cid", std::to_string(vm.cid));
    if (!vm.parent.empty()) fields.emplace_back("VM", vm.parent);
    fields.emplace_back("cpus", std::to_string(vm.vcpus) + " (" + vm.policy + ")");
    if (!vm.core_note.empty()) fields.emplace_back("cores", "not exclusive: " + vm.core_note);
    fields.emplace_back("memory", size_text(vm.memory_mib * 1_MiB) + " in " + vm.pages + " pages");
    if (vm.epc_mib > 0) fields.emplace_back("EPC", size_text(vm.epc_mib * 1_MiB));
    if (vm.restarts > 0) fields.emplace_back("restarts", std::to_string(vm.restarts));
    for (const auto& disk : vm.disks)
        fields.emplace_back("disk", size_text(disk.bytes) + (disk.read_only ? ", read-only" : ""));
    for (const auto& network : vm.networks)
        fields.emplace_back("network", network.mac + " (" + network.kind + ")");
    for (const auto& pcr : vm.pcrs)
        fields.push_back(pcr);
    if (!vm.signer.empty()) fields.emplace_back("signed by", vm.signer);
    std::string text = vm.id + "\n" + render_fields(fields, 2);
    if (vm.debug) text += "  debug mode: attestation documents carry zeros in PCR0, PCR1 and PCR2\n";
    return text;
}

std::string progress_text(const VmView& vm) {
    if (vm.state == "reserving") return "reserving memory and cores";
    const std::string copying =
        vm.kind == VmKind::Enclave ? "measuring the image" : "copying kernel and ramdisk";
    if (vm.state == "measuring" && vm.progress)
        return copying + ", " + percent_text(vm.progress->first, vm.progress->second);
    if (vm.state == "measuring") return copying;
    if (vm.state == "starting") return "starting";
    if (vm.state == "running") return "waiting for the heartbeat";
    return vm.state;
}

std::string core_remark(const VmView& vm) {
    if (vm.core_note.empty()) return "";
    return "the cores of " + vm.id + " are not exclusive: " + vm.core_note;
}

Error ending_error(const VmView& vm) {
    if (vm.error) {
        Error error = *vm.error;
        return std::move(error).context(vm.id);
    }
    std::string message = "it ended (" + (vm.reason.empty() ? vm.state : vm.reason) + ")";
    if (!vm.detail.empty()) message += ": " + vm.detail;
    return Error(ErrorCode::EnclaveDied, message).context(vm.id);
}

}  // namespace alcove::cli

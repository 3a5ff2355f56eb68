// SPDX-License-Identifier: Apache-2.0
#include "cli/vm_access.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace alcove::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPoll{1};  // an interruption is looked for this often
constexpr std::chrono::seconds kStopPatience{30};

// Null where there is none, or it is not to be had at the moment.
Json sgx_state_of(const ApiClient& api, const VmView& vm) {
    if (vm.epc_mib == 0 || vm.is_over()) return nullptr;
    auto sgx = api.get(vm_path(vm.kind, vm.id) + "/sgx");
    return sgx && sgx->contains("state") ? std::move((*sgx)["state"]) : Json(nullptr);
}

}  // namespace

std::string vms_field(VmKind kind) {
    return kind == VmKind::Enclave ? "enclaves" : "vms";
}

std::string vms_path(VmKind kind) {
    return "/v1/" + vms_field(kind);
}

std::string vm_path(VmKind kind, const std::string& vm) {
    return vms_path(kind) + "/" + path_part(vm);
}

Result<std::vector<VmView>> list_vms(const ApiClient& api, VmKind kind) {
    const auto json = TRY(api.get(vms_path(kind)));
    return read_list(json, kind);
}

Result<std::vector<VmView>> read_list(const Json& json, VmKind kind) {
    const auto* array = TRY(codec::json::array_field(json, vms_field(kind)));
    std::vector<VmView> vms;
    for (const auto& item : *array) {
        auto view = TRY(read_vm(item, kind));
        vms.push_back(std::move(view));
    }
    return vms;
}

Result<Json> list_in_full(const ApiClient& api, VmKind kind) {
    auto json = TRY(api.get(vms_path(kind)));
    if (kind == VmKind::Enclave) return json;
    const auto vms = TRY(read_list(json, kind));
    for (size_t i = 0; i < vms.size(); ++i)
        json[vms_field(kind)][i]["sgx_state"] = sgx_state_of(api, vms[i]);
    return json;
}

Result<Json> follow(const ApiClient& api, VmKind kind, const std::string& id, const std::string& wait,
                    Clock::time_point deadline, const Enough& enough) {
    while (true) {
        const auto left = std::chrono::ceil<std::chrono::seconds>(deadline - Clock::now());
        const auto seconds = std::clamp(left, std::chrono::seconds(0), kPoll);
        auto json =
            TRY(api.get(vm_path(kind, id) + "?wait=" + wait + "&timeout=" + std::to_string(seconds.count())));
        const auto view = TRY(read_vm(json, kind));
        if (enough(view) || Clock::now() >= deadline) return json;
    }
}

std::vector<std::string> serials_of(const VmView& view) {
    std::vector<std::string> serials;
    for (const auto& disk : view.disks)
        if (!disk.serial.empty()) serials.push_back(disk.serial);
    return serials;
}

Result<Json> stop_vm(const VmStop& command, const std::string& vm, HostAccess& host) {
    const auto& api = host.api();
    auto json =
        TRY(api.post(vm_path(command.kind, vm) + "/stop", {{"force_after_ms", command.force_after_ms}}));
    const auto view = TRY(read_vm(json, command.kind));
    if (command.wait && !view.is_over()) {
        const auto deadline =
            Clock::now() + std::chrono::milliseconds(command.force_after_ms) + kStopPatience;
        json = TRY(follow(api, command.kind, view.id, "stopped", deadline,
                          [](const VmView& now) { return now.is_over(); }));
        const auto after = TRY(read_vm(json, command.kind));
        if (!after.is_over()) return fail(ErrorCode::Timeout, view.id + " is still " + after.state);
    }
    if (command.wait) host.detach_disks(serials_of(view));
    return json;
}

Failure interrupted(const std::string& what) {
    return fail(ErrorCode::Cancelled, "interrupted; " + what);
}

// The image must not go away before nobody reads it.
Failure take_back(const ApiClient& api, VmKind kind, const std::string& id) {
    const auto stopped = api.post(vm_path(kind, id) + "/stop", {{"force_after_ms", 0}});
    const auto over = stopped ? follow(api, kind, id, "stopped", Clock::now() + kStopPatience,
                                       [](const VmView& view) { return view.is_over(); })
                              : stopped;
    return interrupted(over ? id + " was stopped"
                            : id + " could not be stopped: " + over.error().to_string());
}

}  // namespace alcove::cli

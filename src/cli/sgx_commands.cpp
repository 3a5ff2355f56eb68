// SPDX-License-Identifier: Apache-2.0
//
// alcove sgx ...
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/sgx_view.hpp"
#include "cli/vm_access.hpp"

namespace alcove::cli {

namespace {

// Of one VM: as the API tells it, with the VM's id and name.
Result<Json> sgx_of(const ApiClient& api, const VmView& vm) {
    auto json = TRY(api.get(vm_path(VmKind::Primary, vm.id) + "/sgx"));
    json["id"] = vm.id;
    json["name"] = vm.name.empty() ? Json(nullptr) : Json(vm.name);
    return json;
}

// All VMs with SGX that are not over, or the one that is named.
Result<std::vector<VmView>> wanted_vms(const ApiClient& api, const std::string& wanted) {
    std::vector<VmView> vms;
    if (!wanted.empty()) {
        const auto json = TRY(api.get(vm_path(VmKind::Primary, wanted)));
        auto view = TRY(read_vm(json, VmKind::Primary));
        vms.push_back(std::move(view));
        return vms;
    }
    vms = TRY(list_vms(api, VmKind::Primary));
    std::erase_if(vms, [](const VmView& vm) { return vm.epc_mib == 0 || vm.is_over(); });
    return vms;
}

}  // namespace

Result<Exit> run(const SgxInfo&, const Context& context) {
    auto host = TRY(context.open_host());
    const auto json = TRY(host->api().get("/v1/host"));
    const auto* sgx = TRY(codec::json::object_field(json, "sgx"));
    context.output.result(*sgx, render_sgx_host(*sgx));
    return Exit::Ok;
}

Result<Exit> run(const SgxList& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto vms = TRY(wanted_vms(host->api(), command.vm));
    Json list = Json::array();
    for (const auto& vm : vms) {
        auto json = TRY(sgx_of(host->api(), vm));
        list.push_back(std::move(json));
    }
    context.output.result({{"vms", list}}, render_sgx_list(list));
    return Exit::Ok;
}

Result<Exit> run(const SgxSet& command, const Context& context) {
    if (!command.budget_mib && !command.balloon_mib)
        return fail(ErrorCode::InvalidArgument, "give --budget or --balloon, with an amount of memory");
    auto host = TRY(context.open_host());
    const Json body = command.budget_mib ? Json{{"budget_mib", *command.budget_mib}}
                                         : Json{{"balloon_mib", *command.balloon_mib}};
    const auto json = TRY(host->api().post(vm_path(VmKind::Primary, command.vm) + "/sgx", body));
    const auto text = command.budget_mib ? render_sgx_budget(json) : render_sgx_balloon(json);
    context.output.result(json, command.vm + "  " + text + "\n");
    return Exit::Ok;
}

Result<Exit> run(const SgxDrop& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto json =
        TRY(host->api().post(vm_path(VmKind::Primary, command.vm) + "/drop-epc", Json::object()));
    context.output.result(json, command.vm + "  all its EPC is lost\n");
    return Exit::Ok;
}

}  // namespace alcove::cli

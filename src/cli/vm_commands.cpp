// SPDX-License-Identifier: Apache-2.0
//
// alcove enclave | vm: list | inspect | console | logs | stop | remove. They are the same for both kinds.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/egress_process.hpp"
#include "cli/progress.hpp"
#include "cli/tree.hpp"
#include "cli/vm_access.hpp"

namespace alcove::cli {

namespace {

std::string console_text(const Output& output, bool raw, std::string_view bytes) {
    return raw ? std::string(bytes) : output.streams().shown(bytes);
}

}  // namespace

Result<Exit> run(const VmList& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto json = TRY(list_in_full(host->api(), command.kind));
    const auto vms = TRY(read_list(json, command.kind));
    context.output.result(json, render_list(vms, command.kind));
    return Exit::Ok;
}

Result<Exit> run(const VmInspect& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto tree = TRY(host->api().get(vm_path(command.kind, command.vm) + "/inspect"));
    const auto* part = TRY(find_part(tree, command.path));
    context.output.result(*part, render_tree(*part));
    return Exit::Ok;
}

Result<Exit> run(const VmConsole& command, const Context& context) {
    TRY(needs_bytes(context.output, "a console has no end to wait for; `logs` gives what it said"));
    auto host = TRY(context.open_host());
    TRY(host->api().stream(vm_path(command.kind, command.vm) + "/console", [&](std::string_view piece) {
        context.output.text(console_text(context.output, command.raw, piece));
        return true;
    }));
    return Exit::Ok;
}

Result<Exit> run(const VmLogs& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto text = TRY(host->api().get_text(vm_path(command.kind, command.vm) + "/logs"));
    context.output.result({{"console", text}}, console_text(context.output, command.raw, text));
    return Exit::Ok;
}

Result<Exit> run(const VmStop& command, const Context& context) {
    if (command.all != command.vms.empty())
        return fail(ErrorCode::InvalidArgument, "name what to stop, or say --all");
    auto host = TRY(context.open_host());
    std::vector<std::string> vms = command.vms;
    if (command.all) {
        const auto all = TRY(list_vms(host->api(), command.kind));
        for (const auto& view : all)
            if (!view.is_over()) vms.push_back(view.id);
    }
    Json results = Json::array();
    {
        Progress progress(context.output, "stopping");
        for (const auto& vm : vms) {
            progress.update("stopping " + vm);
            auto stopped = TRY(stop_vm(command, vm, *host));
            results.push_back(std::move(stopped));
        }
    }
    std::string text;
    for (const auto& result : results) {
        const auto view = TRY(read_vm(result, command.kind));
        text += view.id + "  " + state_text(view) + "\n";
    }
    context.output.result({{vms_field(command.kind), results}}, text);
    return Exit::Ok;
}

Result<Exit> run(const VmRemove& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto json = TRY(host->api().remove(vm_path(command.kind, command.vm)));
    const auto view = TRY(read_vm(json, command.kind));
    if (view.is_over()) host->detach_disks(serials_of(view));
    if (const auto log = egress_log(view.id); log && view.is_over()) ::unlink(log->c_str());
    context.output.result(json, view.id + "  removed\n");
    return Exit::Ok;
}

}  // namespace alcove::cli

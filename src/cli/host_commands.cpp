// SPDX-License-Identifier: Apache-2.0
//
// alcove host ...
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/host_view.hpp"
#include "cli/kvm_trial.hpp"
#include "cli/progress.hpp"

namespace alcove::cli {

namespace {

constexpr const char* kShell = "/bin/sh";

bool daemon_answers(const HostSelection& selection) {
    return ApiClient(selection.local_socket).get("/v1/version", std::chrono::seconds(5)).has_value();
}

Result<Exit> show_embedded(const Context& context) {
    auto host = TRY(open_embedded());
    const auto status = TRY(host.status());
    Json json = {{"host", "embedded"}, {"embedded", embedded_json(status, host.folder())}};
    std::string text = render_embedded(status, host.folder());
    if (status.answering) {
        const auto inside = ApiClient(host.socket_path("alcoved.sock")).get("/v1/host");
        if (inside) {
            json["resources"] = *inside;
            text += "\n" + render_host(*inside);
        }
    }
    context.output.result(json, text);
    return Exit::Ok;
}

}  // namespace

Result<Exit> run(const HostStart& command, const Context& context) {
    auto host = TRY(open_embedded(command.memory_mib));
    TRY(start_embedded(host, context.output, Readiness::CanLaunch));
    const auto status = TRY(host.status());
    context.output.result(embedded_json(status, host.folder()), render_embedded(status, host.folder()));
    return Exit::Ok;
}

Result<Exit> run(const HostStop&, const Context& context) {
    auto host = TRY(open_embedded());
    {
        const Progress progress(context.output, "stopping the embedded host");
        TRY(host.stop());
    }
    const auto status = TRY(host.status());
    context.output.result(embedded_json(status, host.folder()), render_embedded(status, host.folder()));
    return Exit::Ok;
}

Result<Exit> run(const HostStatus&, const Context& context) {
    const auto decision = TRY(decide(context.selection));
    if (decision.where == Where::Embedded) return show_embedded(context);
    const auto host = TRY(ApiClient(context.selection.local_socket).get("/v1/host"));
    context.output.result({{"host", "local"}, {"resources", host}}, render_host(host));
    return Exit::Ok;
}

Result<Exit> run(const HostShell& command, const Context& context) {
    auto host = TRY(open_embedded());
    TRY(start_embedded(host, context.output, Readiness::Answers));
    embedded::ExecRequest request;
    request.arguments = command.command.empty() ? std::vector<std::string>{kShell} : command.command;
    request.terminal = command.command.empty() && ::isatty(STDIN_FILENO) == 1;
    if (request.terminal) request.arguments.emplace_back("-l");
    // Its exit code becomes ours.
    const int code = TRY(host.exec(request));
    return static_cast<Exit>(code);
}

Result<Exit> run(const HostCheck&, const Context& context) {
    CheckReport report;
    {
        const Progress progress(context.output, "trying a small guest");
        report.capabilities = host::probe_host_capabilities();
        if (context.try_guest && report.capabilities.kvm.device_opens == host::Answer::Yes)
            report.capabilities.kvm.guest = try_and_remember(context.try_guest, kvm_trial_file());
    }
    if (auto topology = host::read_topology()) report.topology = std::move(*topology);
    if (auto memory = host::read_host_memory()) report.memory = std::move(*memory);
    if (auto weaknesses = host::read_vulnerabilities()) report.vulnerabilities = std::move(*weaknesses);
    report.daemon_answers = daemon_answers(context.selection);
    const auto decision = TRY(decide(context.selection));
    report.choice = decision.where == Where::Local ? "local" : "embedded";
    report.why = decision.why;
    context.output.result(check_json(report), render_check(report));
    return Exit::Ok;
}

}  // namespace alcove::cli

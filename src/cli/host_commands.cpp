// SPDX-License-Identifier: Apache-2.0
//
// alcove host ...
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/host_map.hpp"
#include "cli/host_view.hpp"
#include "cli/interruption.hpp"
#include "cli/kvm_trial.hpp"
#include "cli/progress.hpp"
#include "cli/tree.hpp"

namespace alcove::cli {

namespace {

constexpr const char* kShell = "/bin/sh";

bool daemon_answers(const HostSelection& selection) {
    return ApiClient(selection.local_socket).get("/v1/version", std::chrono::seconds(5)).has_value();
}

constexpr int kLookEveryMs = 1000;

Result<Json> read_map(const ApiClient& api) {
    const auto host = TRY(api.get("/v1/host"));
    const auto vms = TRY(api.get("/v1/vms"));
    const auto enclaves = TRY(api.get("/v1/enclaves"));
    return host_map(host, vms, enclaves);
}

size_t terminal_width() {
    winsize size{};
    return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// On a terminal in place, elsewhere one after the other.
void draw(const Json& map, const Output& output) {
    if (output.json()) return output.object(map);
    if (output.streams().out_is_terminal) output.text("\x1b[H\x1b[2J");
    output.text(render_host_map(map, terminal_width()) + "\n");
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
    TRY(needs_bytes(context.output, "standard output is the command's"));
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

Result<Exit> run(const HostMap& command, const Context& context) {
    const auto host = TRY(context.open_host());
    if (!command.watch) {
        const auto map = TRY(read_map(host->api()));
        context.output.result(map, render_host_map(map, terminal_width()));
        return Exit::Ok;
    }
    auto interruption = TRY(Interruption::create());
    Json drawn;
    while (!interruption.happened()) {
        auto map = TRY(read_map(host->api()));
        if (map != drawn) draw(map, context.output);
        drawn = std::move(map);
        pollfd wait{.fd = interruption.fd().get(), .events = POLLIN, .revents = 0};
        ::poll(&wait, 1, kLookEveryMs);
    }
    return Exit::Ok;
}

Result<Exit> run(const HostInspect& command, const Context& context) {
    const auto host = TRY(context.open_host());
    const auto tree = TRY(host->api().get("/v1/host"));
    const auto* part = TRY(find_part(tree, command.path));
    context.output.result(*part, render_tree(*part));
    return Exit::Ok;
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
    report.kernel_work = host::read_kernel_work();
    report.sgx = host::read_sgx(report.topology ? report.topology->nodes : std::vector<host::NumaNode>{});
    report.daemon_answers = daemon_answers(context.selection);
    const auto decision = TRY(decide(context.selection));
    report.choice = decision.where == Where::Local ? "local" : "embedded";
    report.why = decision.why;
    context.output.result(check_json(report), render_check(report));
    return Exit::Ok;
}

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
//
// alcove enclave | vm: connect | listen. The daemon says where a VM's sockets are; the streams themselves go
// past it, straight to the VM, so they cost it nothing and outlive its restarts.
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/interruption.hpp"
#include "cli/port_service.hpp"
#include "cli/port_serving.hpp"
#include "cli/progress.hpp"
#include "cli/relay.hpp"
#include "cli/vm_access.hpp"

namespace alcove::cli {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";

Result<void> check(const VmListen& command, bool json) {
    const bool serves = !command.exec.empty() || !command.forward.empty();
    if (command.keep && !serves)
        return fail(ErrorCode::InvalidArgument,
                    "--keep needs --exec or --forward: standard input and output serve one connection");
    if (json && !serves)
        return fail(ErrorCode::InvalidArgument,
                    "--json needs --exec or --forward: otherwise standard output is the connection's");
    if (!command.forward.empty() &&
        (!command.forward.starts_with(kUnixPrefix) || command.forward.size() == kUnixPrefix.size()))
        return fail(ErrorCode::InvalidArgument, "--forward is unix:PATH, not '" + command.forward + "'");
    return {};
}

Failure port_closed(const Port& port) {
    return interrupted("nobody listens on port " + std::to_string(port.number) + " of " + port.vm +
                       " any more");
}

// The first connection, after which nobody listens any more; nothing when interrupted.
Result<std::optional<Fd>> first_connection(Port& port, Interruption& interruption) {
    while (!interruption.happened()) {
        TRY(wait_for_one({port.listener->fd().get(), interruption.fd().get(), -1, -1}));
        auto connection = TRY(port.listener->accept());
        if (!connection && port.listener->is_in_place()) continue;
        if (!connection) return nobody_came(port);
        port.listener.reset();
        return connection;
    }
    return std::optional<Fd>();
}

}  // namespace

Result<Exit> run(const VmConnect& command, const Context& context) {
    TRY(needs_bytes(context.output, "standard output is the connection's"));
    auto host = TRY(context.open_host());
    const auto sockets = TRY(sockets_of(host->api(), command.kind, command.vm));
    const auto stream = TRY(host->open_socket(sockets.connect));
    {
        const Progress progress(context.output,
                                "connecting to port " + std::to_string(command.port) + " of " + sockets.id);
        TRY(connect_port(stream, command.port));
    }
    TRY(relay_standard(stream));
    return Exit::Ok;
}

Result<Exit> run(const VmListen& command, const Context& context) {
    TRY(check(command, context.output.json()));
    auto host = TRY(context.open_host());
    std::optional<Interruption> interruption = TRY(Interruption::create());
    auto port = TRY(open_port(*host, command.kind, command.vm, command.port));
    context.output.note("listening on port " + std::to_string(port.number) + " of " + port.vm);
    if (command.exec.empty() && command.forward.empty()) {
        const auto connection = TRY(first_connection(port, *interruption));
        if (!connection) return port_closed(port);
        interruption.reset();  // nothing to be taken back any more
        TRY(relay_standard(*connection));
        return Exit::Ok;
    }
    PortService::Task task{.command = command.exec, .socket_path = {}};
    if (!command.forward.empty()) task.socket_path = command.forward.substr(kUnixPrefix.size());
    const auto service = TRY(PortService::create(std::move(task)));
    Serving serving(port, *service, command.keep, context.output);
    TRY(serving.run(*interruption, -1));
    const auto& last = serving.last();
    if (!command.keep && !last) return port_closed(port);
    if (!command.keep && !*last) return Failure{last->error()};
    if (context.output.json()) context.output.object(serving.json());
    // The one program's exit code becomes ours.
    return command.keep ? Exit::Ok : static_cast<Exit>(**last);
}

}  // namespace alcove::cli

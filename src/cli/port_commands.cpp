// SPDX-License-Identifier: Apache-2.0
//
// alcove enclave | vm: connect | listen. The daemon says where a VM's sockets are; the streams themselves go
// past it, straight to the VM, so they cost it nothing and outlive its restarts.
#include <array>
#include <cerrno>

#include <poll.h>

#include <nlohmann/json.hpp>

#include "api/shim_messages.hpp"
#include "cli/commands.hpp"
#include "cli/interruption.hpp"
#include "cli/port_service.hpp"
#include "cli/relay.hpp"
#include "cli/vm_access.hpp"

namespace alcove::cli {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr int kLookMs = 1000;  // how often a listener's file is looked for

struct Sockets {
    std::string id;
    std::string directory;
    std::string connect;
};

Result<Sockets> sockets_of(const ApiClient& api, VmKind kind, const std::string& vm) {
    const auto json = TRY(api.get(vm_path(kind, vm) + "/sockets"));
    auto id = TRY(codec::json::text_field(json, "id"));
    auto directory = TRY(codec::json::text_field(json, "directory"));
    auto connect = TRY(codec::json::text_field(json, "connect"));
    return Sockets{.id = std::move(id), .directory = std::move(directory), .connect = std::move(connect)};
}

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

// One listening port of one VM.
struct Port {
    VmKind kind;
    std::string vm;  // its id
    uint32_t number;
    std::unique_ptr<HostListener> listener;  // empty: no further connection is wanted
};

Result<Port> open_port(HostAccess& host, const VmListen& command) {
    auto sockets = TRY(sockets_of(host.api(), command.kind, command.vm));
    const std::string name = "port " + std::to_string(command.port) + " of " + sockets.id;
    auto listener = host.listen(sockets.directory + "/" + api::shim::port_socket_name(command.port));
    if (!listener && listener.error().code() == ErrorCode::AlreadyExists)
        return fail(ErrorCode::AlreadyExists, "another program listens on " + name);
    if (!listener && listener.error().code() == ErrorCode::NotFound)
        return fail(ErrorCode::EnclaveNotReady, sockets.id + " has no folder for sockets yet, or no more");
    if (!listener) return Failure{std::move(listener).error().context("listening on " + name)};
    return Port{.kind = command.kind,
                .vm = std::move(sockets.id),
                .number = command.port,
                .listener = std::move(*listener)};
}

Failure nobody_came(const Port& port) {
    return fail(ErrorCode::ConnectionLost,
                port.vm + " has ended and never connected to port " + std::to_string(port.number));
}

Failure port_closed(const Port& port) {
    return interrupted("nobody listens on port " + std::to_string(port.number) + " of " + port.vm +
                       " any more");
}

// Waits a while for one of the descriptors; -1 is left out.
Result<void> wait_for_one(std::array<int, 3> descriptors) {
    std::array<pollfd, 3> waiting{};
    for (size_t i = 0; i < descriptors.size(); ++i)
        waiting[i] = {.fd = descriptors[i], .events = POLLIN, .revents = 0};
    if (::poll(waiting.data(), waiting.size(), kLookMs) < 0 && errno != EINTR)
        return fail_errno(errno, "poll");
    return {};
}

// The first connection, after which nobody listens any more; nothing when interrupted.
Result<std::optional<Fd>> first_connection(Port& port, Interruption& interruption) {
    while (!interruption.happened()) {
        TRY(wait_for_one({port.listener->fd().get(), interruption.fd().get(), -1}));
        auto connection = TRY(port.listener->accept());
        if (!connection && port.listener->is_in_place()) continue;
        if (!connection) return nobody_came(port);
        port.listener.reset();
        return connection;
    }
    return std::optional<Fd>();
}

// Connections that are served, and what became of them.
class Serving {
  public:
    Serving(Port& port, PortService& service, bool keep, const Output& output)
        : port_(port), service_(service), keep_(keep), output_(output) {}

    Result<void> run(Interruption& interruption) {
        while (!interruption.happened() && (port_.listener != nullptr || service_.at_work() > 0)) {
            const bool listens = port_.listener != nullptr && !service_.is_full();
            TRY(wait_for_one(
                {listens ? port_.listener->fd().get() : -1, interruption.fd().get(), service_.fd().get()}));
            collect();
            if (port_.listener != nullptr) TRY(accept());
        }
        return {};
    }

    Json json() const {
        return {{port_.kind == VmKind::Enclave ? "enclave" : "vm", port_.vm},
                {"port", port_.number},
                {"connections", connections_},
                {"failed", failed_}};
    }
    const std::optional<Result<int>>& last() const { return last_; }

  private:
    Result<void> accept() {
        while (!service_.is_full()) {
            auto connection = TRY(port_.listener->accept());
            if (!connection) break;
            ++connections_;
            service_.take(std::move(*connection));
            if (keep_) continue;
            port_.listener.reset();
            return {};
        }
        if (port_.listener->is_in_place()) return {};
        if (!keep_) return nobody_came(port_);
        output_.note(port_.vm + " has ended");
        port_.listener.reset();
        return {};
    }

    void collect() {
        for (auto& outcome : service_.collect()) {
            const auto& code = outcome.exit_code;
            const std::string which = "connection " + std::to_string(outcome.connection) + ": ";
            if (!code || *code != 0) ++failed_;
            if (keep_ && !code) output_.note(which + code.error().to_string());
            if (keep_ && code && *code != 0)
                output_.note(which + "the program ended with " + std::to_string(*code));
            last_ = std::move(outcome.exit_code);
        }
    }

    Port& port_;
    PortService& service_;
    bool keep_;
    const Output& output_;
    uint64_t connections_ = 0;
    uint64_t failed_ = 0;
    std::optional<Result<int>> last_;
};

}  // namespace

Result<Exit> run(const VmConnect& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto sockets = TRY(sockets_of(host->api(), command.kind, command.vm));
    const auto stream = TRY(host->open_socket(sockets.connect));
    TRY(connect_port(stream, command.port));
    TRY(relay_standard(stream));
    return Exit::Ok;
}

Result<Exit> run(const VmListen& command, const Context& context) {
    TRY(check(command, context.output.json()));
    auto host = TRY(context.open_host());
    std::optional<Interruption> interruption = TRY(Interruption::create());
    auto port = TRY(open_port(*host, command));
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
    TRY(serving.run(*interruption));
    const auto& last = serving.last();
    if (!command.keep && !last) return port_closed(port);
    if (!command.keep && !*last) return Failure{last->error()};
    if (context.output.json()) context.output.object(serving.json());
    // The one program's exit code becomes ours.
    return command.keep ? Exit::Ok : static_cast<Exit>(**last);
}

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/port_serving.hpp"

#include <cerrno>

#include <poll.h>

#include <nlohmann/json.hpp>

#include "api/shim_messages.hpp"
#include "cli/vm_access.hpp"

namespace alcove::cli {

namespace {

constexpr int kLookMs = 1000;  // how often a listener's file is looked for

}  // namespace

Result<Sockets> sockets_of(const ApiClient& api, VmKind kind, const std::string& vm) {
    const auto json = TRY(api.get(vm_path(kind, vm) + "/sockets"));
    auto id = TRY(codec::json::text_field(json, "id"));
    auto directory = TRY(codec::json::text_field(json, "directory"));
    auto connect = TRY(codec::json::text_field(json, "connect"));
    return Sockets{.id = std::move(id), .directory = std::move(directory), .connect = std::move(connect)};
}

Result<Port> open_port(HostAccess& host, VmKind kind, const std::string& vm, uint32_t number) {
    auto sockets = TRY(sockets_of(host.api(), kind, vm));
    const std::string name = "port " + std::to_string(number) + " of " + sockets.id;
    auto listener = host.listen(sockets.directory + "/" + api::shim::port_socket_name(number));
    if (!listener && listener.error().code() == ErrorCode::AlreadyExists)
        return fail(ErrorCode::AlreadyExists, "another program listens on " + name);
    if (!listener && listener.error().code() == ErrorCode::NotFound)
        return fail(ErrorCode::EnclaveNotReady, sockets.id + " has no folder for sockets yet, or no more");
    if (!listener) return Failure{std::move(listener).error().context("listening on " + name)};
    return Port{
        .kind = kind, .vm = std::move(sockets.id), .number = number, .listener = std::move(*listener)};
}

Failure nobody_came(const Port& port) {
    return fail(ErrorCode::ConnectionLost,
                port.vm + " has ended and never connected to port " + std::to_string(port.number));
}

Result<void> wait_for_one(std::array<int, 4> descriptors) {
    std::array<pollfd, 4> waiting{};
    for (size_t i = 0; i < descriptors.size(); ++i)
        waiting[i] = {.fd = descriptors[i], .events = POLLIN, .revents = 0};
    if (::poll(waiting.data(), waiting.size(), kLookMs) < 0 && errno != EINTR)
        return fail_errno(errno, "poll");
    return {};
}

Result<void> Serving::run(Interruption& interruption, int until) {
    const auto has_ended = [until] {
        pollfd waiting{.fd = until, .events = POLLIN, .revents = 0};
        return until >= 0 && ::poll(&waiting, 1, 0) > 0;
    };
    while (!interruption.happened() && !has_ended() &&
           (port_.listener != nullptr || service_.at_work() > 0)) {
        const bool listens = port_.listener != nullptr && !service_.is_full();
        TRY(wait_for_one({listens ? port_.listener->fd().get() : -1, interruption.fd().get(),
                          service_.fd().get(), until}));
        collect();
        if (port_.listener != nullptr) TRY(accept());
    }
    return {};
}

Json Serving::json() const {
    return {{port_.kind == VmKind::Enclave ? "enclave" : "vm", port_.vm},
            {"port", port_.number},
            {"connections", connections_},
            {"failed", failed_}};
}

Result<void> Serving::accept() {
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

void Serving::collect() {
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

}  // namespace alcove::cli

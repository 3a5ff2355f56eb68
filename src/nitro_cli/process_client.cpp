// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/process_client.hpp"

#include <cerrno>
#include <filesystem>

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "codec/json.hpp"
#include "nitro_cli/failure_code.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

namespace {

constexpr time_t kPatience = 3;  // s, until a process says that it is there

bool is_confirmed(wire::Command command) {
    return command == wire::Command::Describe || command == wire::Command::GetEnclaveName ||
           command == wire::Command::GetIdByName;
}

Result<void> wait_at_most(const Fd& socket, time_t seconds) {
    const timeval time{.tv_sec = seconds, .tv_usec = 0};
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) != 0)
        return fail_errno(errno, "setting a socket's time limit");
    return {};
}

void remove_stale(const std::string& path, const Error& error) {
    if (error.errno_value() != ECONNREFUSED) return;
    log::info("{} is left over from an enclave that has ended", path);
    ::unlink(path.c_str());
}

// A JSON text from each process that has one to give.
Result<std::vector<std::string>> ask_all(const Places& places, const wire::Request& request) {
    const auto sockets = TRY(connect_to_all(places));
    std::vector<std::string> texts;
    for (const auto& socket : sockets) {
        // One that is just ending has no name any more.
        if (!ask(socket, request)) continue;
        const auto answer = wire::read_answer(socket, [](std::string_view) {});
        if (!answer || answer->status.value_or(-1) != 0) continue;
        const auto json = codec::json::parse(answer->out);
        if (json && json->is_string()) texts.push_back(json->get_ref<const std::string&>());
    }
    return texts;
}

}  // namespace

Result<std::vector<Fd>> connect_to_all(const Places& places) {
    std::vector<Fd> sockets;
    std::error_code error;
    for (std::filesystem::directory_iterator entry(places.sockets, error), end; !error && entry != end;
         entry.increment(error)) {
        const auto path = entry->path().string();
        if (!path.ends_with(".sock")) continue;
        auto socket = sys::unix_connect(path, SOCK_STREAM);
        if (socket) {
            sockets.push_back(std::move(*socket));
        } else {
            remove_stale(path, socket.error());
        }
    }
    if (error) return fail(FailureCode::ReadFromDisk, places.sockets + ": " + error.message());
    return sockets;
}

Result<Fd> connect_to(const Places& places, const std::string& enclave_id) {
    const auto path = TRY(places.socket_of(enclave_id));
    return coded(FailureCode::Socket, sys::unix_connect(path, SOCK_STREAM));
}

Result<void> ask(const Fd& socket, const wire::Request& request) {
    TRY(coded(FailureCode::Socket, sys::write_all(socket, wire::encode(request))));
    if (!is_confirmed(request.command)) return {};
    TRY(coded(FailureCode::Socket, wait_at_most(socket, kPatience)));
    const auto number = TRY(coded(FailureCode::Socket, wire::read_number(socket)));
    if (number != wire::kConfirmation)
        return fail(FailureCode::Socket, "an enclave's process answers nonsense");
    return coded(FailureCode::Socket, wait_at_most(socket, 0));
}

Result<std::vector<std::string>> names_of_enclaves(const Places& places) {
    return ask_all(places, {.command = wire::Command::GetEnclaveName});
}

Result<std::string> id_of_name(const Places& places, const std::string& name) {
    auto ids = TRY(ask_all(places, {.command = wire::Command::GetIdByName, .name = name}));
    if (ids.empty()) return fail(FailureCode::Naming, "no enclave is called `" + name + "`");
    if (ids.size() > 1) return fail(FailureCode::Naming, "more than one enclave is called `" + name + "`");
    return std::move(ids.front());
}

Result<uint64_t> ask_number(const Places& places, const std::string& enclave_id, wire::Command command) {
    const auto socket = TRY(connect_to(places, enclave_id));
    TRY(ask(socket, {.command = command}));
    return coded(FailureCode::Socket, wire::read_number(socket));
}

}  // namespace alcove::nitro_cli

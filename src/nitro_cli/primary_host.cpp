// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/primary_host.hpp"

#include <cerrno>

#include <nlohmann/json.hpp>

#include "ne_driver/device_driver.hpp"
#include "nitro_cli/enclave_process.hpp"
#include "nitro_cli/failure_code.hpp"
#include "nitro_cli/process_client.hpp"
#include "nitro_cli/vsock_console.hpp"
#include "support/bits.hpp"

namespace alcove::nitro_cli {

namespace {

constexpr codec::json::Limits kLimits{.bytes = 8_MiB, .depth = 64};

Result<Fd> start_process(const Places& places, const RunRequest& request) {
    // Whatever the process would find missing at once is better said here.
    auto driver = TRY(coded(FailureCode::FileOperation, ne_driver::DeviceDriver::open()));
    return run_detached(places.log_file(), [&](Fd caller) {
        ne_driver::HugePagePool pages;
        VsockHeartbeatPort heartbeat;
        return accompany_enclave(request,
                                 {.driver = driver, .pages = pages, .heartbeat = heartbeat, .places = places},
                                 std::move(caller));
    });
}

}  // namespace

Result<std::string> PrimaryHost::id_of(const EnclaveChoice& enclave) const {
    if (enclave.name) return id_of_name(places_, *enclave.name);
    return enclave.id.value_or("");
}

Result<Json> PrimaryHost::read_json(const Fd& socket) const {
    const auto answer = TRY(wire::read_answer(socket, streams_.err));
    const int status = answer.status.value_or(-1);
    if (status == EACCES) return fail(FailureCode::CommandNotExecuted, "the enclave is another user's");
    if (status != 0 || answer.out.empty())
        return fail(FailureCode::ProcessConnection,
                    "the enclave's process gave no result; what it said stands above");
    return coded(FailureCode::Serde, codec::json::parse(answer.out, kLimits));
}

Result<EnclaveHost::Started> PrimaryHost::run(const RunRequest& request) {
    TRY(places_.prepare());
    const auto socket = TRY(starter_(request));
    auto json = TRY(read_json(socket));
    auto id = TRY(coded(FailureCode::Serde, codec::json::text_field(json, "EnclaveID")));
    return Started{.json = std::move(json), .id = std::move(id)};
}

Result<EnclaveHost::Listed> PrimaryHost::describe(Metadata metadata) {
    TRY(places_.prepare());
    const auto sockets = TRY(connect_to_all(places_));
    Listed listed{.list = Json::array()};
    for (const auto& socket : sockets) {
        const auto asked =
            ask(socket, {.command = wire::Command::Describe, .metadata = metadata == Metadata::Show});
        auto json = asked ? read_json(socket) : Result<Json>(Failure{asked.error()});
        if (json) {
            listed.list.push_back(std::move(*json));
        } else {
            ++listed.silent;
        }
    }
    return listed;
}

Result<Json> PrimaryHost::terminate(const EnclaveChoice& enclave) {
    const auto id = TRY(id_of(enclave));
    const auto socket = TRY(connect_to(places_, id));
    TRY(ask(socket, {.command = wire::Command::Terminate}));
    return read_json(socket);
}

Result<EnclaveHost::Listed> PrimaryHost::terminate_all() {
    TRY(places_.prepare());
    const auto sockets = TRY(connect_to_all(places_));
    Listed listed{.list = Json::array()};
    // All of them at once: each takes the time that its memory needs to be cleared.
    std::vector<const Fd*> asked;
    for (const auto& socket : sockets)
        if (ask(socket, {.command = wire::Command::Terminate})) asked.push_back(&socket);
    listed.silent = sockets.size() - asked.size();
    for (const auto* socket : asked) {
        auto json = read_json(*socket);
        if (json) {
            listed.list.push_back(std::move(*json));
        } else if (code_of(json.error()) != FailureCode::CommandNotExecuted) {
            ++listed.silent;  // others' enclaves are left alone without a word
        }
    }
    return listed;
}

Result<void> PrimaryHost::show_console(const EnclaveChoice& enclave,
                                       std::optional<std::chrono::seconds> limit) {
    const auto id = TRY(id_of(enclave));
    const auto cid = TRY(ask_number(places_, id, wire::Command::GetEnclaveCid));
    const auto flags = TRY(ask_number(places_, id, wire::Command::GetEnclaveFlags));
    if ((flags & 1) == 0)
        return fail(FailureCode::ConsoleConnection, id + " was started without --debug-mode");
    streams_.out("Connecting to the console for enclave " + std::to_string(cid) + "...\n");
    const auto console = TRY(connect_console(cid));
    streams_.out("Successfully connected to the console.\n");
    return read_console(console, limit, [&](std::string_view piece) { streams_.out(streams_.shown(piece)); });
}

PrimaryHost make_primary_host(const cli::Streams& streams) {
    const auto places = Places::of_environment();
    return {places, streams, [places](const RunRequest& request) { return start_process(places, request); }};
}

}  // namespace alcove::nitro_cli

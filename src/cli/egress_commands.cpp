// SPDX-License-Identifier: Apache-2.0
//
// alcove enclave egress: the way out of an enclave, to what rules name. The enclave's connections go through
// here to alcove-egress, which is a child of this process.
#include <thread>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/egress_process.hpp"
#include "cli/port_serving.hpp"

namespace alcove::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kReadyWithin(30);
constexpr std::chrono::milliseconds kPause(100);

// The folder of an enclave that is being started comes a moment after the enclave.
Result<Port> open_when_there(HostAccess& host, const EnclaveEgress& command, Interruption& interruption) {
    const auto deadline = Clock::now() + kReadyWithin;
    while (true) {
        auto port = open_port(host, VmKind::Enclave, command.enclave, command.port);
        const bool comes = !port && port.error().code() == ErrorCode::EnclaveNotReady;
        if (!comes || Clock::now() >= deadline || interruption.happened()) return port;
        std::this_thread::sleep_for(kPause);
    }
}

}  // namespace

Result<Exit> run(const EnclaveEgress& command, const Context& context) {
    auto host = TRY(context.open_host());
    auto interruption = TRY(Interruption::create());
    const auto proxy = TRY(EgressProcess::start(command.rules));
    const auto service = TRY(PortService::create({.command = {}, .socket_path = proxy->socket_path()}));
    auto port = TRY(open_when_there(*host, command, interruption));
    const std::string where = "port " + std::to_string(port.number) + " of " + port.vm;
    context.output.result({{"enclave", port.vm}, {"port", port.number}, {"rules", command.rules}},
                          "serves " + where + "\n");
    Serving serving(port, *service, true, context.output);
    TRY(serving.run(interruption, proxy->output().get()));
    if (!interruption.happened() && port.listener != nullptr)
        return fail(ErrorCode::ConnectionLost,
                    "alcove-egress has ended, and " + where + " leads nowhere any more");
    return Exit::Ok;
}

}  // namespace alcove::cli

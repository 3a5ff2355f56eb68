// SPDX-License-Identifier: Apache-2.0
//
// alcove enclave run
#include <optional>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/enclave_launch.hpp"

namespace alcove::cli {

Result<Exit> run(const EnclaveRun& command, const Context& context) {
    auto host = TRY(context.open_host());
    std::optional<Launched> launched;
    {
        auto interruption = TRY(Interruption::create());
        Progress progress(context.output, "starting the enclave");
        launched = TRY(launch_enclave(command, *host, interruption, progress));
    }
    const auto& view = launched->view;
    if (view.is_over()) {
        context.output.error(ending_error(view));
        return Exit::EnclaveEnded;
    }
    Json json = launched->json;
    json["host"] = std::string(host->kind());
    context.output.result(json, render_vm(view));
    if (const auto remark = core_remark(view); !remark.empty()) context.output.note(remark);
    if (!command.wait || view.ready) return Exit::Ok;
    context.output.note("no heartbeat after " + elapsed_text(command.timeout) + "; the enclave runs on");
    return Exit::TimedOut;
}

}  // namespace alcove::cli

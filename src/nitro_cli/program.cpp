// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/program.hpp"

#include <algorithm>
#include <limits>

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/host_access.hpp"
#include "ne_driver/device_driver.hpp"
#include "nitro_cli/arguments.hpp"
#include "nitro_cli/daemon_host.hpp"
#include "nitro_cli/failure_code.hpp"
#include "nitro_cli/image_commands.hpp"
#include "nitro_cli/primary_host.hpp"

namespace alcove::nitro_cli {

namespace {

using Host = std::unique_ptr<EnclaveHost>;

struct Context {
    const cli::Streams& streams;
    const HostOpener& open_host;

    void print(const Json& json) const { streams.out(codec::json::dump_pretty(json)); }
    // A list, and, if it is not whole, an error behind it.
    Result<void> print(const EnclaveHost::Listed& listed) const {
        print(listed.list);
        if (listed.silent == 0) return {};
        return fail(FailureCode::ProcessConnection,
                    std::to_string(listed.silent) + " enclaves' processes gave no answer");
    }
};

Result<void> run(const RunEnclave& command, const Context& context) {
    const auto request = TRY(read_request(command));
    if (command.enclave_cid && request.cid == 0)
        context.streams.err("The context id is 0: any free one is taken.\n");
    const auto host = TRY(context.open_host());
    const auto started = TRY(host->run(request));
    context.print(started.json);
    if (!request.attach_console) return {};
    return host->show_console({.id = started.id, .name = {}}, std::nullopt);
}

Result<void> run(const DescribeEnclaves& command, const Context& context) {
    const auto host = TRY(context.open_host());
    const auto listed = TRY(host->describe(command.metadata ? Metadata::Show : Metadata::Leave));
    return context.print(listed);
}

Result<void> run(const TerminateEnclave& command, const Context& context) {
    const auto host = TRY(context.open_host());
    if (command.all) {
        const auto listed = TRY(host->terminate_all());
        return context.print(listed);
    }
    const auto ended = TRY(host->terminate(command.enclave));
    context.print(ended);
    return {};
}

Result<void> run(const Console& command, const Context& context) {
    std::optional<std::chrono::seconds> limit;
    if (command.disconnect_timeout) {
        constexpr uint64_t kMost = std::numeric_limits<int32_t>::max();
        const auto seconds = TRY(number_of("disconnect-timeout", *command.disconnect_timeout, kMost));
        limit = std::chrono::seconds(seconds);
    }
    const auto host = TRY(context.open_host());
    return host->show_console(command.enclave, limit);
}

Result<void> run(const DescribeEif& command, const Context& context) {
    const auto json = TRY(describe_eif(command));
    context.print(json);
    return {};
}

Result<void> run(const Pcr& command, const Context& context) {
    const auto json = TRY(measure_file(command));
    context.print(json);
    return {};
}

Result<void> run(const SignEif& command, const Context& context) {
    const auto json = TRY(sign_eif(command, context.streams));
    context.print(json);
    return {};
}

Result<void> run(const BuildEnclave& command, const Context&) {
    return build_enclave(command);
}

// On standard error, as the original does, and never an error itself.
Result<void> run(const Explain& command, const Context& context) {
    const auto code = find_code(command.error_code);
    if (!code) {
        context.streams.err("There is no error " + command.error_code + "; they are E00 to E60.\n");
        return {};
    }
    const auto& entry = entry_of(*code);
    context.streams.err(label_of(*code) + "  " + std::string(entry.title) + "\n\n" +
                        std::string(entry.meaning) + "\n\nWhat to do: " + std::string(entry.remedy) + "\n");
    return {};
}

}  // namespace

bool is_called(std::string_view program) {
    return program.substr(program.rfind('/') + 1) == "nitro-cli";
}

HostOpener default_host(const cli::Streams& streams, const cli::ProgramParts& parts) {
    return [streams, parts]() -> Result<Host> {
        if (::access(ne_driver::kDevicePath, F_OK) == 0)
            return Host(std::make_unique<PrimaryHost>(make_primary_host(streams)));
        const cli::Output output(streams, false, false);
        const auto selection = cli::select_host(cli::HostChoice::Auto, parts);
        auto host =
            TRY(coded(FailureCode::ProcessConnection, cli::open_chosen_host(parts, selection, output)));
        return Host(std::make_unique<DaemonHost>(std::move(host), streams));
    };
}

int run_program(const std::vector<std::string>& arguments, const cli::Streams& streams,
                const HostOpener& open_host) {
    const auto parsed = parse_arguments(arguments);
    if (!parsed.command) {
        (parsed.exit == 0 ? streams.out : streams.err)(parsed.text);
        return parsed.exit;
    }
    const Context context{.streams = streams, .open_host = open_host};
    const auto done = std::visit([&](const auto& command) { return run(command, context); }, *parsed.command);
    if (done) return 0;
    streams.err(failure_text(done.error()));
    // E00 is an error as well.
    return std::max(static_cast<int>(code_of(done.error())), 1);
}

}  // namespace alcove::nitro_cli

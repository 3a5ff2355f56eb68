// SPDX-License-Identifier: Apache-2.0
#include "cli/program.hpp"

#include "cli/commands.hpp"
#include "cli/kvm_trial.hpp"
#include "cli/parse.hpp"

namespace alcove::cli {

namespace {

int usage(const Parsed& parsed, const Streams& streams) {
    if (parsed.exit == Exit::Ok) {
        streams.out(parsed.text);
        return static_cast<int>(Exit::Ok);
    }
    if (parsed.json) {
        std::string message = parsed.text.substr(0, parsed.text.find('\n'));
        Output(streams, true, true).object(error_object(Error(ErrorCode::InvalidArgument, message)));
    }
    streams.err(parsed.text);
    return static_cast<int>(Exit::Usage);
}

}  // namespace

HostSelection select_host(HostChoice choice, const ProgramParts& parts) {
    auto selection = select_from_environment(choice);
    // A trial that this user cannot make says nothing against the host; a KVM that is absent does. That is
    // not remembered: it may come with a module.
    if (parts.try_guest)
        selection.kvm_usable = [try_guest = parts.try_guest, device = parts.kvm_device] {
            return !host::kvm_is_absent(device) &&
                   remembered_trial(try_guest, kvm_trial_file()).ran != host::Answer::No;
        };
    return selection;
}

Result<std::unique_ptr<HostAccess>> open_chosen_host(const ProgramParts& parts,
                                                     const HostSelection& selection, const Output& output) {
    return parts.open_host ? parts.open_host(selection, output) : open_host(selection, output);
}

int run_program(const std::vector<std::string>& arguments, const Streams& streams,
                const ProgramParts& parts) {
    const auto parsed = parse_arguments(arguments);
    if (!parsed.invocation) return usage(parsed, streams);
    const auto& globals = parsed.invocation->globals;
    const Output output(streams, globals.json, globals.quiet);
    const auto selection = select_host(globals.host, parts);
    const Context context{.output = output,
                          .selection = selection,
                          .open_host = [&] { return open_chosen_host(parts, selection, output); },
                          .try_guest = parts.try_guest};
    const auto exit =
        std::visit([&](const auto& command) { return run(command, context); }, parsed.invocation->command);
    if (exit) return static_cast<int>(*exit);
    output.error(exit.error());
    return static_cast<int>(exit.error().code() == ErrorCode::InvalidArgument ? Exit::Usage : Exit::Error);
}

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
//
// alcove: the command line; called as nitro-cli, that tool's.
#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include <fcntl.h>

#include "cli/installation.hpp"
#include "cli/program.hpp"
#include "machine/guest_trial.hpp"
#include "nitro_cli/program.hpp"
#include "support/bits.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace {

constexpr std::chrono::seconds kTrialPatience{30};

// With the KVM of this machine.
alcove::host::GuestTrial try_guest() {
    using namespace alcove;
    host::GuestTrial untried;
    const auto device = sys::open("/dev/kvm", O_RDWR);
    const auto path = cli::find_check_guest();
    const auto guest = path ? sys::read_file(*path, 1_MiB) : Result<Bytes>(Failure{path.error()});
    if (device && guest) return machine::try_guest("/dev/kvm", *guest, kTrialPatience);
    untried.reason = device ? guest.error().to_string() : device.error().to_string();
    return untried;
}

}  // namespace

int main(int argc, char** argv) {
    // A reader that goes away ends a write with an error.
    std::signal(SIGPIPE, SIG_IGN);
    const std::string name = argc > 0 ? argv[0] : "";
    const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    const auto streams = alcove::cli::Streams::of_process();
    alcove::cli::ProgramParts parts;
    parts.try_guest = try_guest;
    if (alcove::nitro_cli::is_called(name)) {
        alcove::log::start("nitro-cli");
        return alcove::nitro_cli::run_program(arguments, streams,
                                              alcove::nitro_cli::default_host(streams, parts));
    }
    alcove::log::start("alcove");
    return alcove::cli::run_program(arguments, streams, parts);
}

// SPDX-License-Identifier: Apache-2.0
//
// alcoved: reads its options, starts the daemon, and waits for the order to end. It needs no privilege and
// keeps none: everything that root has to do is alcove-broker's.
#include <csignal>
#include <string>

#include <sys/stat.h>

#include <CLI/CLI.hpp>

#include "daemon/daemon.hpp"
#include "sandbox/process.hpp"
#include "support/descriptor_limit.hpp"
#include "support/log.hpp"

namespace {

using namespace alcove;

int serve(const daemon::DaemonConfig& config) {
    // Before the first thread, so that all of them leave these signals to sigwait() below.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    ::umask(0027);
    // Which descriptors a client handed over, and which requests come, is nobody else's to see or change.
    if (const auto hardened = sandbox::harden_process(); !hardened)
        log::warn("{}", hardened.error().to_string());
    // An enclave costs a handful of descriptors, a client one.
    if (const auto raised = raise_descriptor_limit(); !raised) log::warn("{}", raised.error().to_string());

    const auto started = daemon::Daemon::start(config);
    if (!started) {
        log::error("{} {}", code_label(started.error().code()), started.error().to_string());
        return 1;
    }
    log::info("alcoved {} serves host {}", ALCOVE_VERSION, (*started)->instance_id());
    int signal = 0;
    sigwait(&signals, &signal);
    log::info("ends; enclaves run on");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    daemon::DaemonConfig config;
    CLI::App app("Runs enclaves for the users of this host. See docs/api.md.", "alcoved");
    app.add_option("--run-dir", config.run_directory, "Directory of the sockets")->capture_default_str();
    app.add_option("--view-dir", config.view_directory, "Directory of the socket that only reads")
        ->capture_default_str();
    app.add_option("--state-dir", config.state_directory, "Directory of the database")->capture_default_str();
    app.add_option("--spill-dir", config.spill_directory,
                   "Where EPC beyond its budget goes, on a disk (spill in the state directory)");
    app.add_option("--attestor-socket", config.attestor_socket, "Where alcove-attestor listens")
        ->capture_default_str();
    app.add_option("--control-group", config.control_group, "Group that may control enclaves")
        ->capture_default_str();
    app.add_option("--view-group", config.view_group, "Group that may look")->capture_default_str();
    app.add_option("--reserved-cores", config.lending.reserved_cores,
                   "Cores that stay with the host, the lowest ones; core 0 is always among them")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    app.add_option("--memory-share", config.lending.memory_share_percent,
                   "Percent of the available memory that may be lent as 4 KiB pages")
        ->check(CLI::Range(1, 95))
        ->capture_default_str();
    app.add_option("--max-enclaves", config.supervisor.max_enclaves, "Enclaves at a time")
        ->check(CLI::Range(1, 900))
        ->capture_default_str();
    app.add_flag("--embedded", config.embedded,
                 "Images are disks of the embedded host, named by serial number");
    app.set_version_flag("--version", ALCOVE_VERSION);
    CLI11_PARSE(app, argc, argv);

    log::start("alcoved");
    return serve(config);
}

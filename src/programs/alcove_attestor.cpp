// SPDX-License-Identifier: Apache-2.0
//
// alcove-attestor: reads its options, gives up what it does not need, and serves. It holds every private key
// of the host, so it is never dumped, traced or swapped as far as the kernel lets it say so.
#include <cerrno>
#include <csignal>
#include <set>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cap-ng.h>

#include "attestor/authority.hpp"
#include "attestor/sandbox.hpp"
#include "attestor/server.hpp"
#include "sandbox/process.hpp"
#include "support/descriptor_limit.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace {

using namespace alcove;

struct Options {
    attestor::Authority::Files files;
    std::string run_folder;
    std::string socket;
    std::string shim_socket;
    bool development = false;
    std::vector<uid_t> broker_uids;
    std::vector<uid_t> reader_uids;
    std::vector<uid_t> shim_uids;
    long socket_group = -1;
    uint32_t renew_before_seconds = 600;
    uint32_t resume_within_seconds = 900;
};

// Keys must not reach a swap partition. Before capabilities go: locking may need one.
void lock_memory() {
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    rlimit lockable{};
    ::setrlimit(RLIMIT_MEMLOCK, &unlimited);
    // Under a limit a later allocation would fail, which is worse than a page that may be swapped.
    if (::getrlimit(RLIMIT_MEMLOCK, &lockable) != 0 || lockable.rlim_cur != RLIM_INFINITY ||
        ::mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        log::warn("memory cannot be locked (RLIMIT_MEMLOCK): keys could be swapped, use no unencrypted swap");
}

Result<void> drop_privileges() {
    capng_clear(CAPNG_SELECT_BOTH);
    // Without CAP_SETPCAP the bounding set stays; with no new privileges it gives nothing.
    if (capng_apply(CAPNG_SELECT_CAPS) != 0)
        return fail(ErrorCode::PermissionDenied, "capabilities cannot be dropped");
    return {};
}

Result<attestor::Server::Listeners> make_listeners(const Options& options) {
    attestor::Server::Listeners listeners;
    listeners.main = TRY(sys::unix_listen(options.socket, SOCK_SEQPACKET, 0660));
    if (!options.shim_socket.empty())
        listeners.shims = TRY(sys::unix_listen(options.shim_socket, SOCK_SEQPACKET, 0660));
    if (options.socket_group >= 0 && ::chown(options.socket.c_str(), static_cast<uid_t>(-1),
                                             static_cast<gid_t>(options.socket_group)) != 0)
        return fail_errno(errno, "chown " + options.socket);
    return listeners;
}

Result<Fd> make_signal_descriptor() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (::sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return fail_errno(errno, "sigprocmask");
    Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd.is_open()) return fail_errno(errno, "signalfd");
    return fd;
}

Result<void> serve(const Options& options) {
    TRY(sandbox::harden_process());
    lock_memory();
    if (const auto raised = raise_descriptor_limit(); !raised) log::warn("{}", raised.error().to_string());
    const auto signals = TRY(make_signal_descriptor());
    auto listeners = TRY(make_listeners(options));
    TRY(drop_privileges());

    const auto kind = options.development ? attestor::HostKind::Development : attestor::HostKind::Production;
    auto authority = TRY(attestor::Authority::open(options.files, kind, std::chrono::system_clock::now));
    const auto root = authority.root().subject_text();
    auto store = TRY(attestor::SessionStore::open(options.run_folder));
    auto sgx_roots = TRY(attestor::SgxRoots::open(options.files.state_folder));
    auto loop = TRY(EventLoop::create());
    attestor::Server::Options server_options;
    server_options.brokers.insert(options.broker_uids.begin(), options.broker_uids.end());
    server_options.readers.insert(options.reader_uids.begin(), options.reader_uids.end());
    server_options.keepers.insert(options.shim_uids.begin(), options.shim_uids.end());
    server_options.sgx_roots = std::make_shared<const attestor::SgxRoots>(std::move(sgx_roots));
    server_options.renew_before = std::chrono::seconds(options.renew_before_seconds);
    server_options.resume_within = std::chrono::seconds(options.resume_within_seconds);
    const auto server = TRY(attestor::Server::create(*loop, std::move(listeners), std::move(authority),
                                                     std::move(store), std::move(server_options)));
    TRY(loop->watch(signals, EPOLLIN, [&loop](uint32_t) { loop->stop(); }));
    // Everything is open and made, the crypto library's own files and the time zone among it.
    TRY(attestor::enter_sandbox());
    log::info("serving on {} under {}", options.socket, root);
    TRY(loop->run());
    log::info("stopped; the state of running VMs stays in {}", options.run_folder);
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Holds the keys of this host and signs attestation documents for its enclaves.",
                 "alcove-attestor");
    app.add_option("--state-dir", options.files.state_folder, "Folder of this host's own root key (0700)")
        ->required();
    app.add_option("--run-dir", options.run_folder, "Folder of the running VMs' state, on a tmpfs (0700)")
        ->required();
    app.add_option("--socket", options.socket, "Socket to listen on (SOCK_SEQPACKET)")->required();
    app.add_option("--shim-socket", options.shim_socket,
                   "Socket for shims, which take up running VMs after a restart (SOCK_SEQPACKET)");
    app.add_flag("--development", options.development, "Mark the certificates as a development host's");
    app.add_option("--root-cert", options.files.root_certificate, "The operator's root certificate (PEM)");
    app.add_option("--root-key", options.files.root_key, "Its key (PEM)");
    app.add_option("--ca-cert", options.files.ca_certificate,
                   "A CA below the root, then those above it (PEM)");
    app.add_option("--ca-key", options.files.ca_key, "Its key (PEM)");
    app.add_option("--broker-uid", options.broker_uids, "User who may open VMs, beside root");
    app.add_option("--allow-uid", options.reader_uids,
                   "User who may ask for the root certificate and the status");
    app.add_option("--shim-uid", options.shim_uids, "User of the shims");
    app.add_option("--socket-group", options.socket_group, "Group of the socket, a number");
    app.add_option("--renew-before", options.renew_before_seconds,
                   "Seconds before its end that an enclave's certificate is renewed")
        ->check(CLI::Range(1, 10000))
        ->capture_default_str();
    app.add_option("--resume-within", options.resume_within_seconds,
                   "Seconds after a start that running VMs have to come back")
        ->capture_default_str();
    app.set_version_flag("--version", ALCOVE_VERSION);
    CLI11_PARSE(app, argc, argv);

    log::start("alcove-attestor");
    const auto served = serve(options);
    if (served) return 0;
    log::error("{} {}", code_label(served.error().code()), served.error().to_string());
    return 1;
}

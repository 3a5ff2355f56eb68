// SPDX-License-Identifier: Apache-2.0
//
// probe: the application of enclaves that are tests. It looks at its machine from inside and does what the
// host asks over vsock.
//   probe nsm      makes the checks of the security module, prints the report; ends with 0 when all is well
//   probe vsock    serves vsock port 6000 until the machine ends
//   probe all      the checks, then serves; `report` has their outcome
//   probe stdio    serves one connection, which is standard input and output; needs no enclave
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <sys/resource.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "probe/kernel_random.hpp"
#include "probe/nsm_checks.hpp"
#include "probe/server.hpp"
#include "vsock/sockets.hpp"

namespace alcove::probe {

namespace {

constexpr int kUsageExit = 2;

std::vector<CheckResult> make_checks() {
    auto module = secure_module::KernelSecureModule::open();
    if (!module) return {CheckResult{.name = "open_nsm", .detail = module.error().to_string()}};
    std::vector<CheckResult> results = check_secure_module(*module);
    for (CheckResult& result : check_kernel_random())
        results.push_back(std::move(result));
    return results;
}

std::string report_of(const std::vector<CheckResult>& results) {
    std::string report;
    for (const CheckResult& result : results)
        report += result.to_string() + "\n";
    return report + "done\n";
}

Result<std::unique_ptr<secure_module::SecureModule>> open_kernel_module() {
    auto module = TRY(secure_module::KernelSecureModule::open());
    return std::unique_ptr<secure_module::SecureModule>(
        std::make_unique<secure_module::KernelSecureModule>(std::move(module)));
}

// Every connection has one descriptor, and `connect` has two.
void allow_descriptors() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

Result<void> run_server(const Surroundings& surroundings) {
    allow_descriptors();
    const Fd listener = TRY(listen_on_vsock(kProbePort, kMostConnections));
    std::printf("probe: listening on vsock port %u\n", kProbePort);
    std::fflush(stdout);
    return serve_all(listener, surroundings);
}

int exit_code(const Result<void>& outcome) {
    if (outcome) return EXIT_SUCCESS;
    std::fprintf(stderr, "probe: %s\n", outcome.error().to_string().c_str());
    return EXIT_FAILURE;
}

[[noreturn]] void serve_until_the_end(const Surroundings& surroundings) {
    // At once: connections that are being served use the surroundings to the last.
    _exit(exit_code(run_server(surroundings)));
}

int run(std::string_view mode) {
    Surroundings surroundings{
        .report = report_of({}), .connect = connect_to_vsock, .open_module = open_kernel_module};
    if (mode == "stdio") {
        Channel channel = Channel::over_pipes(Fd(STDIN_FILENO), Fd(STDOUT_FILENO));
        return exit_code(serve(channel, surroundings));
    }
    if (mode == "vsock") serve_until_the_end(surroundings);
    if (mode != "nsm" && mode != "all") {
        std::fprintf(stderr, "usage: probe nsm | vsock | all | stdio\n");
        return kUsageExit;
    }
    const std::vector<CheckResult> results = make_checks();
    surroundings.report = report_of(results);
    std::fputs(surroundings.report.c_str(), stdout);
    std::fflush(stdout);
    if (mode == "all") serve_until_the_end(surroundings);
    for (const CheckResult& result : results) {
        if (!result.detail.empty()) return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

}  // namespace

}  // namespace alcove::probe

int main(int count, char** arguments) {
    // No configuration file: what an enclave does is what was measured.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    return alcove::probe::run(count == 2 ? arguments[1] : "");
}

// SPDX-License-Identifier: Apache-2.0
//
// fabric_pair KERNEL INITRD COMMAND-LINE WORDS CPU CPU: boots a primary VM's guest (CID 3) and an enclave's
// (CID 16) that are joined, each with all its threads on one CPU, and prints the former's console. Each is a
// process, as their VMMs are: the former with PCI, the latter without. The former's command line has WORDS
// besides.
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu/vcpu_thread.hpp"
#include "support/bits.hpp"
#include "tests/machine/joined_guest.hpp"

namespace {

using namespace alcove;

constexpr vsock::Cid kEnclave{16};

Result<void> stay_on(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(cpu), &set);
    if (::sched_setaffinity(0, sizeof set, &set) < 0) return fail_errno(errno, "sched_setaffinity");
    return {};
}

Result<void> run(tests::JoinedGuest guest, int cpu) {
    TRY(stay_on(cpu));
    TRY(cpu::VcpuThread::install_kick_signal());
    return tests::run_joined_guest(std::move(guest));
}

int report(const Result<void>& outcome) {
    if (outcome) return 0;
    std::fprintf(stderr, "fabric_pair: %s\n", outcome.error().to_string().c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 7) {
        std::fputs("usage: fabric_pair KERNEL INITRD COMMAND-LINE WORDS CPU CPU\n", stderr);
        return 2;
    }
    auto pair = api::make_fabric_pair();
    if (!pair) return report(Failure{pair.error()});
    const std::string command_line = argv[3];
    const auto guest = [&](vsock::Cid cid, vsock::Cid peer, std::string line) {
        return tests::JoinedGuest{.cid = cid,
                                  .peer = peer,
                                  .end = {},
                                  .kernel = argv[1],
                                  .initrd = argv[2],
                                  .command_line = std::move(line),
                                  .memory_bytes = 512_MiB,
                                  .deadline = std::chrono::seconds(1200),
                                  .console = {}};
    };
    auto primary = guest(vsock::Cid::Parent, kEnclave, command_line + " " + argv[4]);
    auto enclave = guest(kEnclave, vsock::Cid::Parent, command_line + " pci=off");
    primary.end = std::move(pair->first);
    enclave.end = std::move(pair->second);
    primary.console = [](uint8_t byte) {
        std::putchar(byte);
        if (byte == '\n') std::fflush(stdout);
    };

    // The doorbell of the one that ends first tells the other.
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        primary = {};
        ::_exit(report(run(std::move(enclave), std::atoi(argv[6]))));
    }
    enclave = {};
    const int outcome = report(run(std::move(primary), std::atoi(argv[5])));
    int status = 0;
    ::waitpid(child, &status, 0);
    return outcome != 0 || status != 0 ? 1 : 0;
}

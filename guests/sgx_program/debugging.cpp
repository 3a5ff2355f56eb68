// SPDX-License-Identifier: Apache-2.0
#include <csignal>

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sgx_program/program.hpp"

namespace alcove::sgx_program {

namespace {

volatile sig_atomic_t traps = 0;

void count_trap(int) {
    traps = traps + 1;
}

// INT3 between stays in an enclave.
void hit_breakpoints() {
    struct sigaction action {};
    action.sa_handler = count_trap;
    ::sigaction(SIGTRAP, &action, nullptr);
    const Enclave enclave = build(false);
    uint64_t sum = 0;
    for (int i = 0; i < 3; ++i) {
        asm volatile("int3" ::: "memory");
        sum = enclave.enter(kAdd, 10).answer;
    }
    line("breakpoints", static_cast<uint64_t>(traps));
    line("beside breakpoints", sum);
}

[[noreturn]] void be_stepped() {
    const Enclave enclave = build(false);
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    enclave.enter(kAdd, 7);
    ::_exit(static_cast<int>(enclave.enter(kAdd, 5).answer));
}

// Instruction for instruction over a child's stays in an enclave.
void step_child() {
    const pid_t child = ::fork();
    if (child == 0) be_stepped();
    int status = 0;
    uint64_t steps = 0;
    while (::waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        if (WSTOPSIG(status) == SIGTRAP) ++steps;
        ::ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr);
    }
    line("stepped child ends with", static_cast<uint64_t>(WIFEXITED(status) ? WEXITSTATUS(status) : -1));
    line("steps", steps);
}

}  // namespace

void debug_processes() {
    hit_breakpoints();
    step_child();
}

}  // namespace alcove::sgx_program

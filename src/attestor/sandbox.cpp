// SPDX-License-Identifier: Apache-2.0
#include "attestor/sandbox.hpp"

#include <array>

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/syscall_filter.hpp"

namespace alcove::attestor {

namespace {

constexpr std::array kCalls = {
    // Connections that others make.
    SCMP_SYS(accept4), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(close),
    // Waiting and waking; signalfd and eventfd are read.
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll), SCMP_SYS(ppoll),
    SCMP_SYS(futex), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev),
    // The VMs' state: written beside, renamed, listed, removed.
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek),
    SCMP_SYS(fchmod), SCMP_SYS(fsync), SCMP_SYS(rename), SCMP_SYS(unlink), SCMP_SYS(getdents64),
    // Time, randomness, the process's own identity.
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    // Memory of our own, signals, and the end.
    SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(mremap), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
    SCMP_SYS(sigaltstack), SCMP_SYS(exit), SCMP_SYS(exit_group)};

#ifdef __SANITIZE_ADDRESS__
constexpr std::array kSanitizerCalls = {SCMP_SYS(pipe2)};  // through which it looks whether memory is there
#else
constexpr std::array<int, 0> kSanitizerCalls = {};
#endif

constexpr uint64_t kInt = 0xffff'ffff;  // what the kernel looks at of an int

}  // namespace

Result<void> enter_sandbox() {
    auto filter = TRY(sandbox::SyscallFilter::create());
    TRY(filter.allow(kCalls));
    TRY(filter.allow(kSanitizerCalls));
    // Who the other end is.
    TRY(filter.allow_if(SCMP_SYS(getsockopt), 2, kInt, SO_PEERCRED));
    TRY(filter.allow_if(SCMP_SYS(fcntl), 1, kInt, F_GETFL));
    TRY(filter.allow_if(SCMP_SYS(fcntl), 1, kInt, F_SETFL));
    TRY(filter.allow_if(SCMP_SYS(fcntl), 1, kInt, F_SETFD));  // how the C library opens a directory
    // New memory is never executable.
    TRY(filter.allow_if(SCMP_SYS(mmap), 2, PROT_EXEC, 0));
    TRY(filter.allow_if(SCMP_SYS(mprotect), 2, PROT_EXEC, 0));
    // A failed check ends this process, and nobody else can be signalled.
    TRY(filter.allow_if(SCMP_SYS(tgkill), 0, kInt, static_cast<uint64_t>(::getpid())));
    return filter.install();
}

}  // namespace alcove::attestor

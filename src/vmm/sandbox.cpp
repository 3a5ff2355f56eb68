// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox.hpp"

#include <array>
#include <cerrno>
#include <memory>

#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

namespace alcove::vmm {

namespace {

struct FilterDeleter {
    void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, FilterDeleter>;

// Allowed whatever their arguments.
constexpr std::array kCalls = {
    // Moving bytes over descriptors that are open already.
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg),
    SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(accept4), SCMP_SYS(shutdown), SCMP_SYS(close),
    SCMP_SYS(getsockopt), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
    // Waiting and waking.
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll), SCMP_SYS(ppoll),
    SCMP_SYS(eventfd2), SCMP_SYS(futex), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
    // Time, randomness, the process's own identity.
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid),
    // Memory of our own and the signals between our threads.
    SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(mremap), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(tgkill), SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(sigaltstack),
    // Threads begin and end; the vCPUs are the last to begin.
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(exit), SCMP_SYS(exit_group)};

// The requests a running machine makes; making VMs, vCPUs and memory slots is over.
constexpr std::array<unsigned long, 5> kIoctls = {KVM_RUN, KVM_GET_REGS, KVM_IOEVENTFD, KVM_IRQFD,
                                                  KVM_SET_USER_MEMORY_REGION};

Result<void> allow(const Filter& filter, int call) {
    const int added = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
    if (added < 0) return fail_errno(-added, "seccomp rule");
    return {};
}

Result<void> allow_if(const Filter& filter, int call, scmp_arg_cmp condition) {
    const int added = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 1, condition);
    if (added < 0) return fail_errno(-added, "seccomp rule");
    return {};
}

}  // namespace

Result<void> harden_process() {
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return fail_errno(errno, "PR_SET_DUMPABLE");
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail_errno(errno, "PR_SET_NO_NEW_PRIVS");
    const rlimit none{.rlim_cur = 0, .rlim_max = 0};
    if (::setrlimit(RLIMIT_CORE, &none) < 0) return fail_errno(errno, "RLIMIT_CORE");
    return {};
}

Result<void> enter_sandbox() {
    const Filter filter(seccomp_init(SCMP_ACT_KILL_PROCESS));
    if (!filter) return fail(ErrorCode::OutOfMemory, "seccomp_init");
    for (const int call : kCalls)
        TRY(allow(filter, call));
    for (const unsigned long request : kIoctls)
        TRY(allow_if(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffff'ffff, request)));
    // New memory is never executable.
    TRY(allow_if(filter, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
    TRY(allow_if(filter, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
    // Threads only, no processes. clone3 hides its flags behind a pointer: glibc goes back to clone.
    TRY(allow_if(filter, SCMP_SYS(clone),
                 SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM)));
    const int hidden = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (hidden < 0) return fail_errno(-hidden, "seccomp rule");
    // Pairs of connected sockets reach nobody else: the built-in services of vsock are made of them.
    TRY(allow_if(filter, SCMP_SYS(socketpair), SCMP_A0(SCMP_CMP_EQ, AF_UNIX)));
    // Buffer sizes of sockets.
    TRY(allow_if(filter, SCMP_SYS(setsockopt), SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET)));
    TRY(allow_if(filter, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)));
    TRY(allow_if(filter, SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_GETFL)));
    TRY(allow_if(filter, SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_SETFL)));
    const int loaded = seccomp_load(filter.get());
    if (loaded < 0) return fail_errno(-loaded, "seccomp_load");
    return {};
}

}  // namespace alcove::vmm
